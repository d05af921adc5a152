// What training minimises, and what it is fed with.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "alambic/base/rng.h"
#include "alambic/data/signal.h"
#include "alambic/models/language_model.h"

namespace alambic {

// One document as the model sees it. Loss is taken on tokens[prompt_tokens, end), or on those of
// them that `learned` marks.
struct Sequence {
  std::vector<TokenId> tokens;
  int prompt_tokens = 0;
  std::vector<TokenSignal> signals;  // the teacher's word on each token after the prompt, or empty
  std::vector<bool> learned = {};    // for each token after the prompt; empty: all are
  bool own = false;                  // the answer was written by the model in training

  bool learns(int token) const {
    return learned.empty() || learned[static_cast<size_t>(token - prompt_tokens)];
  }
  // Tokens that are learned, from index `from` on.
  int learned_tokens(int from = 0) const {
    int count = 0;
    for (int i = std::max(from, prompt_tokens); i < static_cast<int>(tokens.size()); ++i)
      count += learns(i) ? 1 : 0;
    return count;
  }
};

// Documents packed one after another; they do not see each other.
using Batch = std::vector<const Sequence*>;

// A sum over tokens of one kind, for the log.
struct LossPart {
  std::string name;
  double sum = 0, count = 0;
};

// Never a mean: sums add up exactly over micro-batches.
struct Loss {
  Tensor sum;        // [1], in the graph where recording is on
  double count = 0;  // what the sum is to be divided by: the learned tokens of the batch
  int64_t rows = 0;  // rows the model computed, for the speed
  std::vector<LossPart> parts;
};

struct RunMode {
  Precision precision = Precision::kBf16;
  double dropout = 0;   // 0 when measuring
  double progress = 0;  // fraction of the run that is over, for weights that change on the way
};

class Objective {
 public:
  Objective() = default;
  Objective(const Objective&) = delete;
  Objective& operator=(const Objective&) = delete;
  virtual ~Objective() = default;
  virtual Loss evaluate(const LanguageModel& model, const Batch& batch, const RunMode& mode,
                        Rng& rng) const = 0;
};

}  // namespace alambic
