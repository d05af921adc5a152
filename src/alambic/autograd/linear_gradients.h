// What ops with weights share: the parts of their results beside the main product, and gradients.
#pragma once

#include <vector>

#include "alambic/autograd/graph.h"
#include "alambic/autograd/linear_weights.h"
#include "alambic/tensor/product.h"

namespace alambic {

// A weight's panels for x wᵀ: those kept with it, or new ones.
std::shared_ptr<const PackedMatrix> panels_of(const Tensor& weight, Precision precision);

// Rows normed, with what the norm's gradient needs.
struct NormedRows {
  Tensor rows;
  Tensor mean;     // [rows], of a layer norm
  Tensor inverse;  // [rows]: one over the root mean square, or over the deviation
  NormedRows(const Tensor& x, const Norm& norm);
};
// From the gradient of the normed rows to those of x and of the norm. Of `normed`, the rows are
// not read.
void norm_gradient(const Tensor& dy, const Tensor& x, const Norm& norm, const NormedRows& normed);
LeftOperand left_operand(const Tensor& x, const Norm& norm);

// Adds the bias and the low-rank part to y's columns from `first` on. x: the rows that meet the
// weight; may be undefined where there is no low-rank part
void add_beside(const LinearWeights& w, const Tensor& x, Tensor& y, int64_t first);

// Columns [first, first + count) of a gradient [rows, cols].
struct GradientColumns {
  const Tensor& dy;
  int64_t first, count;
};
// The gradients of everything in w that wants one. x: [rows, in]
void weight_gradients(const GradientColumns& dy, const Tensor& x, Precision precision,
                      const LinearWeights& w);
// dx (+)= dy w
void input_gradient(const GradientColumns& dy, const LinearWeights& w, Precision precision,
                    float* dx, bool accumulate);

// Appends what record() wants to know of.
void list_inputs(const LinearWeights& w, std::vector<Tensor>& inputs);
void list_inputs(const Norm& norm, std::vector<Tensor>& inputs);

}  // namespace alambic
