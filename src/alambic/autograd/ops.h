// Differentiable operations on packed rows. Every op here stands in the table of op cases
// (op_cases.h), which checks it against a composed reference, across kernel tables and by finite
// differences, and times it. Shapes are [rows, cols]; results are new tensors unless a comment says
// otherwise. Thread safety: one graph, one thread.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "alambic/autograd/graph.h"
#include "alambic/base/rng.h"
#include "alambic/base/token.h"
#include "alambic/kernels/table.h"

namespace alambic {

using kernels::Precision;

// table[ids[r]] per row. table: [vocab, dim], or a frozen one in bf16 -> [rows, dim]
Tensor embedding(const Tensor& table, std::span<const TokenId> ids);

// x wᵀ (+ bias). x: [rows, in], w: [out, in], bias: [out] -> [rows, out]
Tensor linear(const Tensor& x, const Tensor& w, Precision precision, const Tensor& bias = {});

// x / rms(x) * w. x: [rows, dim], w: [dim]
Tensor rms_norm(const Tensor& x, const Tensor& w, float eps);

// (silu(x gateᵀ) * (x upᵀ)) downᵀ: the SwiGLU block (Shazeer 2020). The product of gate and up is
// recomputed in the backward pass rather than kept. gate, up: [ffn, dim], down: [dim, ffn]
Tensor gated_mlp(const Tensor& x, const Tensor& gate, const Tensor& up, const Tensor& down,
                 Precision precision);

Tensor add(const Tensor& a, const Tensor& b);

// Zeroes entries with probability p and scales the rest by 1/(1-p); p = 0 returns x. The mask is a
// function of `seed`.
Tensor dropout(const Tensor& x, double p, uint64_t seed);

// Rows x[index[i]]; an index may repeat.
Tensor gather_rows(const Tensor& x, std::vector<int64_t> index);

// Rotary position embedding, in place of x's storage: use only the result. x: [rows, heads *
// head_dim]
struct RopeAngles {
  Tensor cosine, sine;  // [rows, head_dim / 2]
};
RopeAngles rope_angles(std::span<const int64_t> positions, int head_dim, double theta);
Tensor rope(const Tensor& x, int heads, const RopeAngles& angles);

}  // namespace alambic
