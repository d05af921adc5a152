// The gated half of an MLP in one loop (SwiGLU, Shazeer 2020): the tiles of gate and up with the
// same columns are made by one task, which joins them while they are in cache. The bits are those
// of two products and a pass over them.
//
// Ownership: views only. Thread safety: pure.
#pragma once

#include "alambic/tensor/product.h"

namespace alambic {

// True where gated_product() takes both: of one size, precision and format.
bool are_alike(const PackedMatrix& a, const PackedMatrix& b);

// h[m, n] = silu(a gate) * (a up)
void gated_product(int m, const LeftOperand& a, const PackedMatrix& gate, const PackedMatrix& up,
                   float* h);

}  // namespace alambic
