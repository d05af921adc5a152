// The output head and every loss on it, fused: logits exist for a chunk of rows at a time, never as
// [rows, vocab], and their gradient goes straight into the two products that need it (the idea of
// Liger kernels, arXiv 2410.10989).
//
// Per row, with student q and teacher p at temperature T:
//   loss = label_weight * CE(label) + teacher_weight * T² * D(p, q) + certainty_weight * C
// D is forward KL(p|q), reverse KL(q|p), the total variation |p - q| / 2 (one minus the probability
// that a draft from q stands before p), or the generalised Jensen-Shannon divergence of GKD (arXiv
// 2306.13649):
//   beta KL(p|m) + (1 - beta) KL(q|m), m = beta p + (1 - beta) q.
// C forces certainty (dParallel, arXiv 2509.26488): the entropy of the student at temperature
// kCertaintyTemperature where the label is its most probable token, and 0 elsewhere.
// The teacher is dense (its own hidden rows and head, computed chunk by chunk) or sparse (stored
// signals). A sparse row lists ids with probabilities and a tail: the mass of all other tokens,
// which then form one more category, of the student as of the teacher. Stored probabilities are
// rounded, so where theirs are within kSameProbability of each other, relatively, the slope of the
// total variation falls to 0 linearly instead of jumping from one sign to the other.
#pragma once

#include <span>
#include <vector>

#include "alambic/autograd/graph.h"
#include "alambic/base/token.h"
#include "alambic/kernels/table.h"
#include "alambic/tensor/row_summary.h"

namespace alambic {

using kernels::Precision;

enum class Divergence { kForwardKl, kReverseKl, kJsd, kTotalVariation };

inline constexpr float kCertaintyTemperature = 0.5F;
inline constexpr float kSameProbability = 1e-3F;

struct SparseTeacher {
  std::vector<int64_t> offsets;  // [rows + 1] into ids and probabilities
  std::vector<TokenId> ids;      // distinct within a row
  std::vector<float> probabilities;
  std::vector<float> tails;  // [rows]
};

struct DenseTeacher {
  Tensor hidden;  // [rows, teacher dim]
  Tensor head;  // [teacher vocab, teacher dim]; ids from the smaller vocabulary on have probability
                // 0 there
  Precision precision = Precision::kFp32;
  Tensor bias = {};                         // [teacher vocab], or undefined
  std::span<const TokenId> tokenless = {};  // ids of its head that it has no token for
};

struct HeadTargets {
  std::vector<TokenId> labels;                // [rows]
  std::vector<float> label_weights;           // [rows]
  std::vector<float> teacher_weights;         // [rows], or empty: no teacher
  std::vector<float> certainty_weights = {};  // [rows], or empty: none
  const SparseTeacher* sparse = nullptr;
  const DenseTeacher* dense = nullptr;
  Divergence divergence = Divergence::kForwardKl;
  float beta = 0.5F;
  float temperature = 1.0F;
  TokenId excluded = -1;  // a token that has probability 0 by definition (MASK), or -1
  // Further ids of probability 0, of student and teacher: rows of the head without a token. The
  // caller keeps them alive; ids beyond the head are ignored.
  std::span<const TokenId> tokenless = {};
};

struct HeadLoss {
  Tensor sum;  // [1]: the weighted sum over rows; backward() it with gradient 1, once
  std::vector<float> cross_entropy;  // [rows], unweighted
  std::vector<float> divergence;     // [rows], unweighted, 0 where the teacher has no weight
  std::vector<float> certainty;      // [rows], unweighted C, 0 where it has no weight
  std::vector<bool> correct;         // [rows]: the label is the most probable token
};

// Rows whose logits exist at once.
int64_t head_chunk_rows(int64_t rows, int64_t vocab);

// hidden: [rows, dim], head: [vocab, dim], bias: [vocab] or undefined. Gradients of head and bias
// are accumulated at once, the rows' by backward().
HeadLoss head_loss(const Tensor& hidden, const Tensor& head, const HeadTargets& targets,
                   Precision precision, const Tensor& bias = {});

// The summaries of the logits of hidden rows [rows, dim], over the columns that count. Inference
// only: no gradient.
void head_summaries(const Tensor& hidden, const Tensor& head, const Tensor& bias,
                    Precision precision, const CountedColumns& columns, std::span<RowSummary> out);

}  // namespace alambic
