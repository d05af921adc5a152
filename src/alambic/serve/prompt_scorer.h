// Reads a text in pieces and says how probable each of its tokens was, given those before it.
//
// Ownership: owns its cache; looks at model and options. One object, one thread. Errors: those of
// the model.
#pragma once

#include <span>
#include <vector>

#include "alambic/decode/sampler.h"
#include "alambic/models/language_model.h"

namespace alambic {

// A token of a text with its log-probability under the model (at temperature 1), and the most
// probable tokens there.
struct ScoredToken {
  TokenId token = 0;
  double log_probability = 0;
  std::vector<Choice> top;
};

class PromptScorer {
 public:
  // `top`: so many most probable tokens beside each. Looks at `tokens` too.
  PromptScorer(const LanguageModel& model, std::span<const TokenId> tokens,
               const GenerateOptions& options, int top);

  int left() const { return static_cast<int>(tokens_.size()) - cache_.length(); }
  bool done() const { return left() == 0; }
  // Reads the next tokens, `rows` at most, at least one, and says how many. Pieces do not change
  // the scores.
  int read(int rows);

  // Of every token but the first, which nothing predicts. Once, when done.
  std::vector<ScoredToken> take() { return std::move(scored_); }
  // Holds what was read.
  KvCache& cache() { return cache_; }

 private:
  const LanguageModel& model_;
  std::span<const TokenId> tokens_;
  Precision precision_;
  int top_;
  Sampler sampler_;
  KvCache cache_;
  std::vector<ScoredToken> scored_;
};

}  // namespace alambic
