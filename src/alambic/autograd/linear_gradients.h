// The three gradients that ops with weights share.
#pragma once

#include "alambic/autograd/graph.h"
#include "alambic/tensor/product.h"

namespace alambic {

// A weight's panels for x wᵀ: those kept with it, or new ones.
std::shared_ptr<const PackedMatrix> panels_of(const Tensor& weight, Precision precision);

// Columns [first, first + count) of a gradient [rows, cols].
struct GradientColumns {
  const Tensor& dy;
  int64_t first, count;
};
// w's gradient (+)= dyᵀ x, if it wants one. x: [rows, in]
void weight_gradient(const GradientColumns& dy, const Tensor& x, Precision precision,
                     const Tensor& w);
// dx (+)= dy w
void input_gradient(const GradientColumns& dy, const Tensor& weight, Precision precision, float* dx,
                    bool accumulate);

// An RMS norm's rows again, with what its gradient needs.
struct NormedRows {
  Tensor rows, inv_rms;
  NormedRows(const Tensor& x, const Tensor& norm, float eps);
};
// From the gradient of the normed rows to those of x and of the norm's weight.
void norm_gradient(const Tensor& dy, const Tensor& x, const Tensor& norm, const Tensor& inv_rms);

}  // namespace alambic
