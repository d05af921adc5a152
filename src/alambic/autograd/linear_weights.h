// What ops with weights take: a matrix with what may stand beside it, and the norm in front of it.
// Ownership: handles on tensors. Thread safety: plain data.
#pragma once

#include "alambic/tensor/tensor.h"

namespace alambic {

// A trainable addition scale * b a to a frozen matrix (LoRA, arXiv 2106.09685); its products are
// fp32. Undefined tensors: none.
struct LowRank {
  Tensor a;  // [rank, in]
  Tensor b;  // [out, rank]
  float scale = 0;
};

struct LinearWeights {
  Tensor weight;     // [out, in]
  Tensor bias = {};  // [out], or undefined
  LowRank low_rank = {};

  bool requires_grad() const {
    return weight.requires_grad() || bias.requires_grad() || low_rank.a.requires_grad() ||
           low_rank.b.requires_grad();
  }
};

// RMS norm (Zhang & Sennrich 2019), or, with a bias, layer norm (Ba et al. 2016). Both: [dim]
struct Norm {
  Tensor weight;
  Tensor bias = {};
  float eps = 1e-5F;

  bool requires_grad() const { return weight.requires_grad() || bias.requires_grad(); }
};

}  // namespace alambic
