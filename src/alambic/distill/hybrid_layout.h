// The rows of one forward of the joint objective: which tokens stand where, who sees whom, and what
// is asked of each row. hybrid_objective.h says what they are for.
//
// The masked half is cut into blocks of one length per text, drawn at random, from a random phase
// on. A block is a draft (a run of masks to its end) or diffusion (masks anywhere); in the latter
// some tokens may be replaced by others, for the model to find and correct (LLaDA 2.1, arXiv
// 2602.08676).
//
// Ownership: a layout looks at the sequences of its batch. Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "alambic/base/rng.h"
#include "alambic/distill/hybrid_objective.h"
#include "alambic/nn/forward.h"

namespace alambic {

enum class RowKind {
  kClean,   // the causal half
  kDraft,   // a mask of a suffix
  kMasked,  // a mask somewhere in a block
  kEdited,  // a visible token of a block in which some are wrong
};

// One row whose output is scored.
struct ScoredRow {
  int64_t row;  // of the forward
  const Sequence* sequence;
  int target;  // index into sequence->tokens
  float weight;
  RowKind kind;
  bool teachable;       // what it sees is the text to the left of the target, unchanged
  int64_t causal = -1;  // the row of the clean half that predicts the same token, or -1
};

struct HybridLayout {
  std::vector<TokenId> tokens;
  std::vector<RowGroup> groups;
  std::vector<ScoredRow> scored;
};

// `mask` is the id that stands for a hidden token.
HybridLayout hybrid_layout(const HybridOptions& options, TokenId mask, const Batch& batch,
                           Rng& rng);

}  // namespace alambic
