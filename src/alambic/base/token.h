// The unit that models and tokenizers exchange.
#pragma once

#include <cstdint>

namespace alambic {

using TokenId = int32_t;

}  // namespace alambic
