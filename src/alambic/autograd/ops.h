// Differentiable operations on packed rows. Every op here stands in the table of op cases
// (op_cases.h), which checks it against a composed reference, across kernel tables and by finite
// differences, and times it. Shapes are [rows, cols]; results are new tensors unless a comment says
// otherwise. Thread safety: one graph, one thread.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "alambic/autograd/graph.h"
#include "alambic/autograd/linear_weights.h"
#include "alambic/base/rng.h"
#include "alambic/base/token.h"
#include "alambic/kernels/table.h"

namespace alambic {

using kernels::Activation;
using kernels::Precision;

// table[ids[r]] per row. table: [vocab, dim], or a frozen one in bf16 -> [rows, dim]
Tensor embedding(const Tensor& table, std::span<const TokenId> ids);

// x wᵀ (+ bias, + what stands beside). x: [rows, in], w: [out, in] -> [rows, out]
Tensor linear(const Tensor& x, const LinearWeights& w, Precision precision);

// Each row normed. x: [rows, dim]
Tensor norm_rows(const Tensor& x, const Norm& norm);

// norm_rows(x) times each weight's transpose, side by side: [rows, sum of out]. The normed rows are
// recomputed in the backward pass rather than kept. weights: [out, dim] each
Tensor norm_linear(const Tensor& x, const Norm& norm, std::span<const LinearWeights> weights,
                   Precision precision);

// (silu(n gateᵀ) * (n upᵀ)) downᵀ with n = norm_rows(x): the SwiGLU block (Shazeer 2020). The
// normed rows and the product of gate and up are recomputed in the backward pass; what is kept of
// gate and up is bf16 where the products are. gate, up: [ffn, dim], down: [dim, ffn]
struct GatedMlpWeights {
  Norm norm;
  LinearWeights gate, up, down;
};
Tensor gated_mlp(const Tensor& x, const GatedMlpWeights& weights, Precision precision);

// activation(n upᵀ) downᵀ, kept and recomputed likewise.
struct MlpWeights {
  Norm norm;
  LinearWeights up, down;
  Activation activation;
};
Tensor mlp(const Tensor& x, const MlpWeights& weights, Precision precision);

// a + b, in place of b's storage: use only the result.
Tensor add(const Tensor& a, const Tensor& b);

// Zeroes entries with probability p and scales the rest by 1/(1-p); p = 0 returns x. The mask is a
// function of `seed`.
Tensor dropout(const Tensor& x, double p, uint64_t seed);

// Rows x[index[i]]; an index may repeat.
Tensor gather_rows(const Tensor& x, std::span<const int64_t> index);

// RMS norm of single heads, which lie side by side from the first column on: so many under the
// first norm, then so many under the next. The result may take x's storage: use only the result.
struct HeadNorm {
  int heads;
  Norm norm;  // [head_dim]
};
Tensor norm_heads(const Tensor& x, std::span<const HeadNorm> norms);

// How far pairs of numbers turn per row, and which pairs.
struct RopeAngles {
  Tensor cosine, sine;  // [rows, pairs]
  bool interleaved = false;
};
// Angle = position * frequency; `amplitude` scales cosine and sine.
RopeAngles rope_angles(std::span<const int64_t> positions, std::span<const double> frequencies,
                       double amplitude = 1, bool interleaved = false);
// Rotary position embedding of the first `heads` heads of each row (Su et al. 2021), in place of
// x's storage: use only the result. x: [rows, at least heads * head_dim]
Tensor rope(const Tensor& x, int heads, int head_dim, const RopeAngles& angles);

// The columns from `first` on to the nearest bf16, in place of x's storage: use only the result.
// The gradient passes as it is.
Tensor round_to_bf16(const Tensor& x, int64_t first);

}  // namespace alambic
