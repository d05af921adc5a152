#include "alambic/distill/hybrid_objective.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"
#include "alambic/distill/hybrid_layout.h"

namespace alambic {
namespace {

const TokenSignal* signal_of(const ScoredRow& row) {
  const auto index = static_cast<size_t>(row.target - row.sequence->prompt_tokens);
  if (row.target < row.sequence->prompt_tokens || index >= row.sequence->signals.size())
    return nullptr;
  const TokenSignal& signal = row.sequence->signals[index];
  return signal.ids.empty() ? nullptr : &signal;
}

// A teacher has marked what the model wrote.
bool is_marked(const ScoredRow& row) {
  return row.kind == RowKind::kClean && !row.sequence->signals.empty();
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
    if (s->own) continue;
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

// The clean half of the same forward as the teacher of its drafts; it learns nothing from them.
DenseTeacher causal_half(const LanguageModel& model, const Tensor& hidden,
                         std::span<const ScoredRow> rows, Precision precision) {
  const NoGrad no_grad;
  std::vector<int64_t> index;
  index.reserve(rows.size());
  for (const ScoredRow& row : rows) index.push_back(std::max<int64_t>(0, row.causal));
  return {gather_rows(hidden, index), model.head(), precision, model.head_bias()};
}

// Means of the terms of the loss before their weights: where every learned token has a teacher and
// there is no masked half, loss = (1 - alpha) ar + alpha kl. So kl is T² times the divergence.
class PartSums {
 public:
  void add(std::span<const ScoredRow> scored, const HeadLoss& loss, const HeadTargets& targets) {
    const double scale = double{targets.temperature} * double{targets.temperature};
    for (size_t i = 0; i < scored.size(); ++i) {
      const bool clean = scored[i].kind == RowKind::kClean;
      const bool own = scored[i].sequence->own;
      Prediction& prediction = prediction_of(scored[i]);
      prediction.cross_entropy.add(loss.cross_entropy[i]);
      prediction.correct.add(loss.correct[i] ? 1 : 0);
      if (!targets.teacher_weights.empty() && targets.teacher_weights[i] != 0)
        divergence_of(clean, own).add(scale * loss.divergence[i]);
      if (!targets.certainty_weights.empty() && targets.certainty_weights[i] != 0)
        certainty_.add(loss.certainty[i]);
    }
  }
  std::vector<LossPart> parts() const {
    std::vector<LossPart> list{kl_.part, draft_kl_.part, on_policy_.part, own_divergence_.part,
                               certainty_.part};
    for (const Prediction* p : {&ar_, &own_ar_, &draft_, &own_draft_, &edit_}) {
      list.push_back(p->cross_entropy.part);
      list.push_back(p->correct.part);
    }
    return list;
  }

 private:
  struct Sum {
    LossPart part;
    void add(double value) {
      part.sum += value;
      part.count += 1;
    }
  };
  struct Prediction {
    Sum cross_entropy, correct;
  };

  Sum& divergence_of(bool clean, bool own) {
    if (clean) return own ? on_policy_ : kl_;
    return own ? own_divergence_ : draft_kl_;
  }
  Prediction& prediction_of(const ScoredRow& row) {
    const bool own = row.sequence->own;
    if (row.kind == RowKind::kClean) return own ? own_ar_ : ar_;
    if (row.kind == RowKind::kEdited) return edit_;
    return own ? own_draft_ : draft_;
  }

  Prediction ar_{{{"ar"}}, {{"ar_accuracy"}}}, own_ar_{{{"own_ar"}}, {{"own_ar_accuracy"}}};
  Prediction draft_{{{"draft"}}, {{"draft_accuracy"}}}, own_draft_{{{"own"}}, {{"own_accuracy"}}};
  Prediction edit_{{{"edit"}}, {{"edit_accuracy"}}};
  Sum kl_{{"kl"}}, draft_kl_{{"draft_kl"}}, on_policy_{{"on_policy"}};
  Sum own_divergence_{{"own_divergence"}}, certainty_{{"certainty"}};
};

}  // namespace

HybridObjective::HybridObjective(const HybridOptions& options, const LanguageModel* teacher,
                                 TokenlessRows tokenless)
    : options_(options), teacher_(teacher), tokenless_(std::move(tokenless)) {
  if (teacher_ != nullptr) tokenless_.teacher.push_back(teacher_->config().mask);
  const auto want = [](bool holds, const char* what) {
    if (!holds) fail(ErrorCode::kInvalidArgument, "[objective] {}", what);
  };
  want(options.ar_weight >= 0 && options.draft_weight >= 0, "weights must not be negative");
  want(options.ar_weight > 0 || options.draft_weight > 0,
       "ar_weight and draft_weight are both 0: nothing to learn");
  want(options.block >= 0 && options.block <= 4096, "block must be 0 to 4096");
  want(options.block_min >= 1 && options.block_min <= 4096, "block_min must be 1 to 4096");
  want(options.draft_decay >= 0, "draft_decay must not be negative");
  want(options.edit_share >= 0 && options.edit_share < 1,
       "edit_share must be 0 or more, and below 1");
  want(options.own.certainty >= 0, "certainty must not be negative");
  want(options.own.hold >= 0, "hold must not be negative");
  want(options.alpha >= 0 && options.alpha <= 1, "alpha must be 0 to 1");
  want(options.temperature > 0 && options.temperature <= 100,
       "temperature must be above 0, at most 100");
  want(options.beta > 0 && options.beta < 1, "beta must lie between 0 and 1");
  want(options.suffix_share >= 0 && options.suffix_share <= 1, "suffix_share must be 0 to 1");
  want(options.mask_floor > 0 && options.mask_floor <= 1, "mask_floor must be above 0, at most 1");
}

HeadTargets HybridObjective::given_targets(std::span<const ScoredRow> rows, TokenId mask) const {
  HeadTargets targets;
  for (const ScoredRow& row : rows) {
    const bool taught = options_.alpha > 0 && row.teachable && row.target > 0 &&
                        (teacher_ != nullptr || signal_of(row) != nullptr);
    const auto alpha = taught ? static_cast<float>(options_.alpha) : 0.0F;
    targets.labels.push_back(row.sequence->tokens[static_cast<size_t>(row.target)]);
    targets.label_weights.push_back(row.weight * (1 - alpha));
    targets.teacher_weights.push_back(row.weight * alpha);
  }
  targets.divergence = options_.divergence;
  targets.beta = static_cast<float>(options_.beta);
  targets.temperature = static_cast<float>(options_.temperature);
  targets.excluded = mask;
  targets.tokenless = tokenless_.student;
  return targets;
}

HeadTargets HybridObjective::own_targets(std::span<const ScoredRow> rows, TokenId mask) const {
  HeadTargets targets;
  for (const ScoredRow& row : rows) {
    const bool draft = row.kind == RowKind::kDraft && row.causal >= 0;
    targets.labels.push_back(row.sequence->tokens[static_cast<size_t>(row.target)]);
    targets.label_weights.push_back(draft ? 0.0F : row.weight);
    targets.teacher_weights.push_back(draft ? row.weight : 0.0F);
    targets.certainty_weights.push_back(
        row.kind == RowKind::kMasked ? row.weight * static_cast<float>(options_.own.certainty)
                                     : 0.0F);
  }
  targets.divergence = options_.own.divergence;
  targets.beta = static_cast<float>(options_.beta);
  targets.excluded = mask;
  targets.tokenless = tokenless_.student;
  return targets;
}

HeadTargets HybridObjective::marked_targets(std::span<const ScoredRow> rows, TokenId mask) const {
  HeadTargets targets;
  for (const ScoredRow& row : rows) {
    targets.labels.push_back(row.sequence->tokens[static_cast<size_t>(row.target)]);
    targets.label_weights.push_back(0);
    targets.teacher_weights.push_back(signal_of(row) != nullptr ? row.weight : 0);
  }
  targets.divergence = options_.on_policy_divergence;
  targets.beta = static_cast<float>(options_.beta);
  targets.temperature = static_cast<float>(options_.temperature);
  targets.excluded = mask;
  targets.tokenless = tokenless_.student;
  return targets;
}

Loss HybridObjective::evaluate(const LanguageModel& model, const Batch& batch, const RunMode& mode,
                               Rng& rng) const {
  if (options_.draft_weight > 0 && model.config().mask < 0) {
    fail(ErrorCode::kInvalidArgument,
         "[objective] draft_weight > 0 wants a model with a mask token");
  }
  const HybridLayout layout = hybrid_layout(options_, model.config().mask, batch, rng);
  Forward forward{.groups = layout.groups,
                  .precision = mode.precision,
                  .dropout = mode.dropout,
                  .dropout_seed = rng.next()};
  const Tensor hidden = model.hidden(layout.tokens, forward);
  std::vector<ScoredRow> given, own, marked;
  for (const ScoredRow& row : layout.scored)
    (!row.sequence->own ? given : is_marked(row) ? marked : own).push_back(row);
  Loss loss;
  loss.rows = static_cast<int64_t>(layout.tokens.size());
  PartSums parts;
  const auto score = [&](std::span<const ScoredRow> rows, const HeadTargets& targets) {
    std::vector<int64_t> index;
    index.reserve(rows.size());
    for (const ScoredRow& row : rows) index.push_back(row.row);
    const HeadLoss head = head_loss(gather_rows(hidden, index), model.head(), targets,
                                    mode.precision, model.head_bias());
    parts.add(rows, head, targets);
    loss.sum = loss.sum.defined() ? add(loss.sum, head.sum) : head.sum;
  };
  if (!given.empty() || layout.scored.empty()) {
    HeadTargets targets = given_targets(given, model.config().mask);
    SparseTeacher sparse;
    DenseTeacher dense;
    if (options_.alpha > 0 && teacher_ != nullptr) {
      dense = dense_teacher(*teacher_, batch, given, mode.precision);
      dense.tokenless = tokenless_.teacher;
      targets.dense = &dense;
    } else if (options_.alpha > 0) {
      sparse = sparse_teacher(given);
      targets.sparse = &sparse;
    }
    score(given, targets);
  }
  if (!own.empty()) {
    HeadTargets targets = own_targets(own, model.config().mask);
    const DenseTeacher causal = causal_half(model, hidden, own, mode.precision);
    targets.dense = &causal;
    score(own, targets);
  }
  if (!marked.empty()) {
    HeadTargets targets = marked_targets(marked, model.config().mask);
    const SparseTeacher sparse = sparse_teacher(marked);
    targets.sparse = &sparse;
    score(marked, targets);
  }
  loss.parts = parts.parts();
  // The first token of a text has nothing to its left that the causal half could predict it from.
  for (const Sequence* s : batch) loss.count += s->learned_tokens(options_.ar_weight > 0 ? 1 : 0);
  return loss;
}

}  // namespace alambic
