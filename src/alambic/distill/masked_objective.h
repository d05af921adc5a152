// The objective of a bidirectional student: some of an answer's tokens are masked, every row sees
// every row of its sequence, and each mask predicts the token that stood there (masked diffusion;
// LLaDA, arXiv 2502.09992). The prompt is never masked, nor is what Sequence::learned leaves out.
//
// Of L tokens that may be masked exactly m are, with m even in 1..L. The m of a batch are
// stratified: one uniform draw moves a comb of as many teeth as there are sequences, which lowers
// the variance of the loss. Time weights, for which a token counts as one on average:
//   inverse  L / m: the bound on the likelihood
//   linear   falls linearly from m = 1 to m = L (MGDM, arXiv 2410.14157): of a small model's effort
//            more goes where much is known already, which is where easy-first decoding works
// `focal` weighs each token by 0.25 (1 - p)^focal, a constant for the gradient (MGDM): what the
// model knows already no longer counts.
//
// Thread safety: const calls at the same time. Errors: kInvalidArgument for options out of range
// and for a model without a MASK token.
#pragma once

#include <vector>

#include "alambic/models/language_model.h"
#include "alambic/train/objective.h"

namespace alambic {

enum class TimeWeight { kInverse, kLinear };

struct MaskedOptions {
  TimeWeight time_weight = TimeWeight::kInverse;
  double focal = 0;  // 0: all tokens count alike
};

class MaskedObjective final : public Objective {
 public:
  // `tokenless`: ids of the head that no token stands for; they have probability 0.
  explicit MaskedObjective(const MaskedOptions& options, std::vector<TokenId> tokenless = {});

  Loss evaluate(const LanguageModel& model, const Batch& batch, const RunMode& mode,
                Rng& rng) const override;

 private:
  MaskedOptions options_;
  std::vector<TokenId> tokenless_;
};

// The weight of a masked token where `masked` of `maskable` are.
double time_weight(TimeWeight kind, int masked, int maskable);

}  // namespace alambic
