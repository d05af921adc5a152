// The name that somebody meant. Thread safety: stateless.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace alambic {

// The known name that is nearest to `word` in letters added, left out, changed or swapped; "" where
// none is near.
std::string nearest_name(std::string_view word, std::span<const std::string> known);

}  // namespace alambic
