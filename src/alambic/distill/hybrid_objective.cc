#include "alambic/distill/hybrid_objective.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "alambic/base/error.h"

namespace alambic {
namespace {

// One row whose output is scored.
struct ScoredRow {
  int64_t row;  // of the student's forward
  const Sequence* sequence;
  int target;  // index into sequence->tokens
  float weight;
  bool teachable;  // nothing to the right of the target was visible
  bool draft;      // masked half
};

// The rows of one forward and what is asked of them.
struct Layout {
  std::vector<TokenId> tokens;
  std::vector<RowGroup> groups;
  std::vector<ScoredRow> scored;
  std::vector<int64_t> clean_start;  // first row of each sequence's clean group, -1 if it has none
};

class LayoutBuilder {
 public:
  LayoutBuilder(const HybridOptions& options, const ModelConfig& config, Rng& rng)
      : options_(options), mask_(config.mask), rng_(rng) {}

  Layout build(const Batch& batch) {
    for (const Sequence* s : batch) {
      const int size = static_cast<int>(s->tokens.size());
      const int clean = add_clean(*s, size);
      if (options_.draft_weight > 0) add_blocks(*s, size, clean);
    }
    return std::move(layout_);
  }

 private:
  // Returns the clean group's index, or -1 if no clean row is needed.
  int add_clean(const Sequence& s, int size) {
    // Without an AR loss, rows that no block sees are not computed.
    const int rows = options_.ar_weight > 0 || options_.block > 0 ? size : s.prompt_tokens;
    layout_.clean_start.push_back(rows > 0 ? static_cast<int64_t>(layout_.tokens.size()) : -1);
    if (rows == 0) return -1;
    const auto begin = static_cast<int64_t>(layout_.tokens.size());
    layout_.tokens.insert(layout_.tokens.end(), s.tokens.begin(), s.tokens.begin() + rows);
    layout_.groups.push_back({.rows = rows, .position = 0});
    if (options_.ar_weight > 0) {
      for (int i = std::max(1, s.prompt_tokens); i < size; ++i) {
        if (!s.learns(i)) continue;
        layout_.scored.push_back(
            {begin + i - 1, &s, i, static_cast<float>(options_.ar_weight), true, false});
      }
    }
    return static_cast<int>(layout_.groups.size()) - 1;
  }

  void add_blocks(const Sequence& s, int size, int clean) {
    const int answer = size - s.prompt_tokens;
    if (answer <= 0) return;
    int begin = s.prompt_tokens;
    int length = options_.block > 0
                     ? 1 + static_cast<int>(rng_.below(static_cast<uint64_t>(options_.block)))
                     : answer;
    while (begin < size) {
      length = std::min(length, size - begin);
      add_block(s, begin, length, clean);
      begin += length;
      length = options_.block;
    }
  }

  void add_block(const Sequence& s, int begin, int length, int clean) {
    std::vector<bool> masked(static_cast<size_t>(length));
    float weight = static_cast<float>(options_.draft_weight);
    const bool suffix = rng_.uniform() < options_.suffix_share;
    if (suffix) {
      // Half of them all masks, the state in which a draft starts.
      const auto first =
          rng_.uniform() < 0.5 ? 0 : static_cast<int>(rng_.below(static_cast<uint64_t>(length)));
      std::fill(masked.begin() + first, masked.end(), true);
    } else {
      const double ratio = options_.mask_floor + (1 - options_.mask_floor) * rng_.uniform();
      int count = 0;
      for (int i = 0; i < length; ++i) {
        masked[i] = rng_.uniform() < ratio;
        count += masked[i] ? 1 : 0;
      }
      if (count == 0) masked[rng_.below(static_cast<uint64_t>(length))] = true;
      weight /= static_cast<float>(ratio);
    }
    const auto row = static_cast<int64_t>(layout_.tokens.size());
    const int last =
        static_cast<int>(std::find(masked.rbegin(), masked.rend(), false) - masked.rbegin());
    const int open_from = length - last;  // from here on everything is masked
    for (int i = 0; i < length; ++i) {
      layout_.tokens.push_back(masked[i] ? mask_ : s.tokens[begin + i]);
      if (masked[i] && s.learns(begin + i))
        layout_.scored.push_back({row + i, &s, begin + i, weight, i >= open_from, true});
    }
    RowGroup group{.rows = length, .position = begin, .causal = false};
    if (begin > 0 && clean >= 0) group.sees.push_back({clean, begin});
    layout_.groups.push_back(std::move(group));
  }

  const HybridOptions& options_;
  TokenId mask_;
  Rng& rng_;
  Layout layout_;
};

const TokenSignal* signal_of(const ScoredRow& row) {
  const auto index = static_cast<size_t>(row.target - row.sequence->prompt_tokens);
  if (row.target < row.sequence->prompt_tokens || index >= row.sequence->signals.size())
    return nullptr;
  const TokenSignal& signal = row.sequence->signals[index];
  return signal.ids.empty() ? nullptr : &signal;
}

SparseTeacher sparse_teacher(const std::vector<ScoredRow>& scored) {
  SparseTeacher teacher;
  teacher.offsets.push_back(0);
  for (const ScoredRow& row : scored) {
    if (const TokenSignal* signal = row.teachable ? signal_of(row) : nullptr) {
      teacher.ids.insert(teacher.ids.end(), signal->ids.begin(), signal->ids.end());
      teacher.probabilities.insert(teacher.probabilities.end(), signal->probabilities.begin(),
                                   signal->probabilities.end());
      teacher.tails.push_back(signal->tail);
    } else {
      teacher.tails.push_back(0);
    }
    teacher.offsets.push_back(static_cast<int64_t>(teacher.ids.size()));
  }
  return teacher;
}

// The teacher's hidden row for every scored row: the one before the target in a plain causal pass.
DenseTeacher dense_teacher(const LanguageModel& teacher, const Batch& batch,
                           const std::vector<ScoredRow>& scored, Precision precision) {
  const NoGrad no_grad;
  std::vector<TokenId> tokens;
  Forward forward{.groups = {}, .precision = precision};
  std::vector<std::pair<const Sequence*, int64_t>> starts;
  for (const Sequence* s : batch) {
    starts.emplace_back(s, static_cast<int64_t>(tokens.size()));
    tokens.insert(tokens.end(), s->tokens.begin(), s->tokens.end());
    forward.groups.push_back({.rows = static_cast<int>(s->tokens.size()), .position = 0});
  }
  const Tensor hidden = teacher.hidden(tokens, forward);
  std::vector<int64_t> index;
  for (const ScoredRow& row : scored) {
    const auto it = std::find_if(starts.begin(), starts.end(),
                                 [&](const auto& s) { return s.first == row.sequence; });
    index.push_back(it->second + std::max(0, row.target - 1));
  }
  return {gather_rows(hidden, std::move(index)), teacher.head(), precision, teacher.head_bias()};
}

std::vector<LossPart> loss_parts(const std::vector<ScoredRow>& scored, const HeadLoss& loss,
                                 const std::vector<float>& teacher_weights) {
  LossPart ar{"ar"}, draft{"draft"}, kl{"kl"}, draft_kl{"draft_kl"}, ar_correct{"ar_accuracy"},
      draft_correct{"draft_accuracy"};
  for (size_t i = 0; i < scored.size(); ++i) {
    LossPart& ce = scored[i].draft ? draft : ar;
    ce.sum += loss.cross_entropy[i];
    ce.count += 1;
    LossPart& correct = scored[i].draft ? draft_correct : ar_correct;
    correct.sum += loss.correct[i] ? 1 : 0;
    correct.count += 1;
    if (!teacher_weights.empty() && teacher_weights[i] != 0) {
      LossPart& part = scored[i].draft ? draft_kl : kl;
      part.sum += loss.divergence[i];
      part.count += 1;
    }
  }
  return {ar, draft, kl, draft_kl, ar_correct, draft_correct};
}

}  // namespace

HybridObjective::HybridObjective(const HybridOptions& options, const LanguageModel* teacher)
    : options_(options), teacher_(teacher) {
  const auto want = [](bool holds, const char* what) {
    if (!holds) fail(ErrorCode::kInvalidArgument, "[objective] {}", what);
  };
  want(options.ar_weight >= 0 && options.draft_weight >= 0, "weights must not be negative");
  want(options.ar_weight > 0 || options.draft_weight > 0,
       "ar_weight and draft_weight are both 0: nothing to learn");
  want(options.block >= 0 && options.block <= 4096, "block must be 0 to 4096");
  want(options.alpha >= 0 && options.alpha <= 1, "alpha must be 0 to 1");
  want(options.temperature > 0 && options.temperature <= 100,
       "temperature must be above 0, at most 100");
  want(options.beta > 0 && options.beta < 1, "beta must lie between 0 and 1");
  want(options.suffix_share >= 0 && options.suffix_share <= 1, "suffix_share must be 0 to 1");
  want(options.mask_floor > 0 && options.mask_floor <= 1, "mask_floor must be above 0, at most 1");
}

Loss HybridObjective::evaluate(const LanguageModel& model, const Batch& batch, const RunMode& mode,
                               Rng& rng) const {
  if (options_.draft_weight > 0 && model.config().mask < 0) {
    fail(ErrorCode::kInvalidArgument,
         "[objective] draft_weight > 0 wants a model with a mask token");
  }
  const Layout layout = LayoutBuilder(options_, model.config(), rng).build(batch);
  Forward forward{.groups = layout.groups,
                  .precision = mode.precision,
                  .dropout = mode.dropout,
                  .dropout_seed = rng.next()};
  const Tensor hidden = model.hidden(layout.tokens, forward);
  HeadTargets targets;
  std::vector<int64_t> index;
  for (const ScoredRow& row : layout.scored) {
    const bool taught = options_.alpha > 0 && row.teachable && row.target > 0 &&
                        (teacher_ != nullptr || signal_of(row) != nullptr);
    const auto alpha = taught ? static_cast<float>(options_.alpha) : 0.0F;
    index.push_back(row.row);
    targets.labels.push_back(row.sequence->tokens[static_cast<size_t>(row.target)]);
    targets.label_weights.push_back(row.weight * (1 - alpha));
    targets.teacher_weights.push_back(row.weight * alpha);
  }
  targets.divergence = options_.divergence;
  targets.beta = static_cast<float>(options_.beta);
  targets.temperature = static_cast<float>(options_.temperature);
  targets.excluded = model.config().mask;
  SparseTeacher sparse;
  DenseTeacher dense;
  if (options_.alpha > 0 && teacher_ != nullptr) {
    dense = dense_teacher(*teacher_, batch, layout.scored, mode.precision);
    targets.dense = &dense;
  } else if (options_.alpha > 0) {
    sparse = sparse_teacher(layout.scored);
    targets.sparse = &sparse;
  }
  HeadLoss head = head_loss(gather_rows(hidden, std::move(index)), model.head(), targets,
                            mode.precision, model.head_bias());
  Loss loss;
  loss.sum = head.sum;
  loss.rows = static_cast<int64_t>(layout.tokens.size());
  loss.parts = loss_parts(layout.scored, head, targets.teacher_weights);
  for (const Sequence* s : batch) {
    loss.count += static_cast<double>(s->tokens.size()) -
                  std::max(options_.ar_weight > 0 ? 1 : 0, s->prompt_tokens);
  }
  return loss;
}

}  // namespace alambic
