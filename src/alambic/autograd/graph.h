// The tape: ops record a Node per result; backward() walks the nodes once, latest first, and frees
// each node's saved tensors as soon as it has run.
#pragma once

#include <functional>
#include <vector>

#include "alambic/tensor/tensor.h"

namespace alambic {

// Makes `out` the result of an op over `inputs` if any of them requires a gradient and recording is
// on. `backward` must not hold `out` itself.
Tensor record(Tensor out, std::vector<Tensor> inputs,
              std::function<void(const Tensor& grad)> backward);

// True if record() would record: lets an op skip saving what only backward needs.
bool recording(std::initializer_list<const Tensor*> inputs);

// Adds `grad` to input's gradient; takes the buffer over when there is none yet. For the one input
// that may own it.
void pass_gradient(const Tensor& input, const Tensor& grad);
// The same with a copy, for every further input of the op.
void add_gradient(const Tensor& input, const Tensor& grad);

// Back-propagates from a scalar with gradient 1. Leaf gradients add up over calls until zero_grad.
void backward(const Tensor& loss);

}  // namespace alambic
