// Rounding that makes up for its own errors: columns are rounded in order, and what a column loses
// is taken out of those still to come, as far as the inputs move them together. After GPTQ (Frantar
// et al. 2022, arXiv 2210.17323): with H = X Xᵀ of the layer's inputs and H⁻¹ = Uᵀ U, column j's
// error e = (w_j - rounded w_j) / U_jj changes the later columns by -e U_j.
//
// Thread safety: uses all threads; call from one. Errors: none; a damped H is always positive
// definite, and where numbers still defeat the factorisation, weights are rounded plainly.
#pragma once

#include "alambic/tensor/quantized_matrix.h"

namespace alambic {

// w: [out, in]; gram: [in, in], the sum over inputs x of x xᵀ (its upper triangle is read). Scales
// of a group are chosen when its first column's turn comes. The result does not depend on the
// number of threads.
QuantizedMatrix rounded_with_compensation(WeightFormat format, const Tensor& w, const Tensor& gram);

}  // namespace alambic
