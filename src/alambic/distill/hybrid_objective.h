// The joint objective of a hybrid student, of which every other one here is a setting:
//
//   clean half    a causal pass over prompt + answer; each answer token is predicted from its left
//   context, with
//                 (1 - alpha) cross-entropy + alpha T² divergence to the teacher
//   masked half   answer positions again, in blocks that see the clean rows before them and their
//   own block all-to-all; masked
//                 positions predict themselves. Where a block's masks are a suffix, nothing to the
//                 right is visible, so the teacher's next-token distribution is an unbiased target
//                 and is used; where right context shows through, only cross-entropy is (reference:
//                 the derivation in docs/adr/0004).
//
//   draft_weight = 0                      plain fine-tuning (alpha = 0) or distillation: AR only
//   ar_weight = 0, block = 0              masked diffusion over the whole answer; with an empty
//   prompt, fully bidirectional the teacher's texts as data, alpha 0  sequence-level distillation
//
// The blocks of a text have one length, drawn at random, and start at a random phase: drafts may
// start anywhere in training as they do in decoding, and blocks of any length up to `block` are
// known.
//
// On texts that the model wrote itself (Sequence::own) drafts learn the distribution of the clean
// rows of the same forward, masks learn the token and to be certain of it, and the causal half is
// held to what it wrote (docs/adr/0014-drafts.md). Where such a text has signals, the causal half
// learns these in the place of what it wrote (on-policy distillation, docs/adr/0020-on-policy.md).
#pragma once

#include <span>
#include <vector>

#include "alambic/autograd/ops_head.h"
#include "alambic/models/language_model.h"
#include "alambic/train/objective.h"

namespace alambic {

struct ScoredRow;

// What is learnt on the model's own texts.
struct OwnOptions {
  Divergence divergence = Divergence::kTotalVariation;  // of drafts from the causal half
  double certainty = 0;  // weight of C (ops_head.h) beside the cross-entropy of masks
  double hold = 1;       // of the causal half's cross-entropy, relative to ar_weight
};

// As HybridOptions::alpha of a recipe: to be decided by what the teacher can give.
inline constexpr double kAutoAlpha = -1;

struct HybridOptions {
  double ar_weight = 1;
  double draft_weight = 0;  // of the masked half, relative to ar_weight; 0: no masked half
  int block = 8;            // longest block; 0: the whole answer is one block
  int block_min = 4;        // shortest, before the phase cuts the first; `block`: all are as long
  double suffix_share =
      0.5;  // of blocks whose masks are a suffix (drafts); the rest mask at random (diffusion)
  double mask_floor =
      0.1;  // smallest mask ratio of a random block; losses are weighted 1/ratio, at most 1/floor
  double draft_decay = 0;  // mask k of a draft weighs exp(-k / draft_decay); 0: all the same
  double edit_share = 0;   // of visible tokens in random blocks that are replaced by other ones
  double alpha = 0;        // weight of the teacher where it has a word
  Divergence divergence = Divergence::kForwardKl;
  double beta = 0.5;  // of the JSD
  double temperature = 1;
  OwnOptions own;
  Divergence on_policy_divergence = Divergence::kReverseKl;  // to what a teacher says of own texts
};

// Ids of a model's head that no token stands for (vocabularies.h). They have probability 0.
struct TokenlessRows {
  std::vector<TokenId> student, teacher;
};

class HybridObjective final : public Objective {
 public:
  // `teacher` may be null: then the sequences' stored signals are the teacher, where they have any.
  // A teacher in memory must share the student's token ids and outlive the objective; its MASK has
  // probability 0 too.
  explicit HybridObjective(const HybridOptions& options, const LanguageModel* teacher = nullptr,
                           TokenlessRows tokenless = {});

  Loss evaluate(const LanguageModel& model, const Batch& batch, const RunMode& mode,
                Rng& rng) const override;

 private:
  HeadTargets given_targets(std::span<const ScoredRow> rows, TokenId mask) const;
  HeadTargets own_targets(std::span<const ScoredRow> rows, TokenId mask) const;
  HeadTargets marked_targets(std::span<const ScoredRow> rows, TokenId mask) const;

  HybridOptions options_;
  const LanguageModel* teacher_;
  TokenlessRows tokenless_;
};

}  // namespace alambic
