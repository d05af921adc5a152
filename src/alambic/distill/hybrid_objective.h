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
// The block partition starts at a random phase and drafts may start anywhere in training as they do
// in decoding.
#pragma once

#include "alambic/autograd/ops.h"
#include "alambic/autograd/ops_head.h"
#include "alambic/models/language_model.h"
#include "alambic/train/objective.h"

namespace alambic {

struct HybridOptions {
  double ar_weight = 1;
  double draft_weight = 0;  // of the masked half, relative to ar_weight; 0: no masked half
  int block = 8;            // longest block; 0: the whole answer is one block
  double suffix_share =
      0.5;  // of blocks whose masks are a suffix (drafts); the rest mask at random (diffusion)
  double mask_floor =
      0.1;  // smallest mask ratio of a random block; losses are weighted 1/ratio, at most 1/floor
  double alpha = 0;  // weight of the teacher where it has a word
  Divergence divergence = Divergence::kForwardKl;
  double beta = 0.5;  // of the JSD
  double temperature = 1;
};

class HybridObjective final : public Objective {
 public:
  // `teacher` may be null: then the sequences' stored signals are the teacher, where they have any.
  // A teacher in memory must share the student's token ids and outlive the objective.
  explicit HybridObjective(const HybridOptions& options, const LanguageModel* teacher = nullptr);

  Loss evaluate(const LanguageModel& model, const Batch& batch, const RunMode& mode,
                Rng& rng) const override;

 private:
  HybridOptions options_;
  const LanguageModel* teacher_;
};

}  // namespace alambic
