// A MASK token for a model that has none: what an autoregressive model needs to become a hybrid
// one.
#pragma once

#include <memory>

#include "alambic/models/transformer.h"

namespace alambic {

// A copy of `model` that reads and writes the same tokens to the bit and knows `mask`, a token that
// it has never met: the next id, or a row of padding. Its rows begin as the mean of the others'.
// kUnsupported for quantised weights, adapters and models that do not run left to right;
// kInvalidArgument for an id that would leave others without a row.
std::unique_ptr<Transformer> with_mask_token(Transformer& model, TokenId mask);

}  // namespace alambic
