#include "alambic/serve/prompt_scorer.h"

#include <algorithm>
#include <limits>

#include "alambic/autograd/ops.h"
#include "alambic/decode/session.h"

namespace alambic {

PromptScorer::PromptScorer(const LanguageModel& model, std::span<const TokenId> tokens,
                           const GenerateOptions& options, int top)
    : model_(model),
      tokens_(tokens),
      precision_(options.precision),
      top_(top),
      sampler_(model.config(), options, 0),
      cache_(make_cache(model.config(), options.precision)) {
  scored_.reserve(tokens.size());
}

int PromptScorer::read(int rows) {
  constexpr int kMostRows = 128;  // logits of a large vocabulary are wide
  const NoGrad no_grad;
  const auto first = static_cast<size_t>(cache_.length());
  rows = std::min({std::max(rows, 1), kMostRows, left()});
  const Tensor hidden = model_.hidden(tokens_.subspan(first, static_cast<size_t>(rows)),
                                      {{{rows, cache_.length(), true, {}, &cache_}}, precision_});
  cache_.commit(rows);
  const size_t targets = std::min(static_cast<size_t>(rows), tokens_.size() - 1 - first);
  if (targets == 0) return rows;
  const Tensor logits = logits_of(model_, hidden, 0, static_cast<int64_t>(targets), precision_);
  for (size_t row = 0; row < targets; ++row) {
    const auto values = row_of(logits, static_cast<int64_t>(row));
    const TokenId token = tokens_[first + row + 1];
    ScoredToken& item = scored_.emplace_back();
    item.token = token;
    // A prompt may hold what the model never writes, such as a mask: it has probability 0.
    item.log_probability = sampler_.writable(token) ? sampler_.judge(values, token).log_probability
                                                    : -std::numeric_limits<double>::infinity();
    if (top_ > 0) item.top = sampler_.best(values, top_);
  }
  return rows;
}

}  // namespace alambic
