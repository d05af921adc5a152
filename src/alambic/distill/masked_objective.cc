#include "alambic/distill/masked_objective.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "alambic/autograd/ops.h"
#include "alambic/autograd/ops_head.h"
#include "alambic/base/error.h"

namespace alambic {
namespace {

constexpr double kFocalScale = 0.25;

// The rows of one forward, and those of them that predict a masked token.
struct MaskedLayout {
  std::vector<TokenId> tokens;
  std::vector<RowGroup> groups;
  std::vector<int64_t> rows;  // that predict
  HeadTargets targets;        // of those rows
  double maskable = 0;
};

class MaskedLayoutBuilder {
 public:
  MaskedLayoutBuilder(TimeWeight weight, const ModelConfig& config, Rng& rng)
      : weight_(weight), config_(config), rng_(rng) {}

  MaskedLayout build(const Batch& batch) {
    const double phase = rng_.uniform(), teeth = static_cast<double>(batch.size());
    for (size_t i = 0; i < batch.size(); ++i) {
      const double time = phase + static_cast<double>(i) / teeth;
      add(*batch[i], time - std::floor(time));
    }
    layout_.targets.excluded = config_.mask;
    return std::move(layout_);
  }

 private:
  void add(const Sequence& s, double time) {
    const auto begin = static_cast<int64_t>(layout_.tokens.size());
    const auto size = static_cast<int>(s.tokens.size());
    layout_.tokens.insert(layout_.tokens.end(), s.tokens.begin(), s.tokens.end());
    layout_.groups.push_back({.rows = size, .position = 0, .causal = false});
    std::vector<int> places;
    for (int i = s.prompt_tokens; i < size; ++i) {
      if (s.learns(i)) places.push_back(i);
    }
    if (places.empty()) return;
    const auto maskable = static_cast<int>(places.size());
    const int masked = std::min(maskable, 1 + static_cast<int>(time * maskable));
    const double weight = time_weight(weight_, masked, maskable);
    layout_.maskable += maskable;
    for (int k = 0; k < masked; ++k) {
      const auto first = static_cast<size_t>(k);
      std::swap(places[first], places[first + rng_.below(static_cast<uint64_t>(maskable - k))]);
      const int place = places[first];
      layout_.tokens[static_cast<size_t>(begin + place)] = config_.mask;
      layout_.rows.push_back(begin + (config_.shifted_rows ? std::max(0, place - 1) : place));
      layout_.targets.labels.push_back(s.tokens[static_cast<size_t>(place)]);
      layout_.targets.label_weights.push_back(static_cast<float>(weight));
    }
  }

  TimeWeight weight_;
  const ModelConfig& config_;
  Rng& rng_;
  MaskedLayout layout_;
};

}  // namespace

double time_weight(TimeWeight kind, int masked, int maskable) {
  const double m = masked, n = maskable;
  return kind == TimeWeight::kInverse ? n / m : 6 * n * (n - m + 1) / ((n + 1) * (n + 2));
}

MaskedObjective::MaskedObjective(const MaskedOptions& options, std::vector<TokenId> tokenless)
    : options_(options), tokenless_(std::move(tokenless)) {
  if (!(options.focal >= 0 && options.focal <= 10)) {
    fail(ErrorCode::kInvalidArgument, "[objective] focal = {}; want 0 to 10", options.focal);
  }
}

Loss MaskedObjective::evaluate(const LanguageModel& model, const Batch& batch, const RunMode& mode,
                               Rng& rng) const {
  const ModelConfig& config = model.config();
  if (config.mask < 0) {
    fail(ErrorCode::kInvalidArgument,
         "[objective] masked diffusion wants a model with a MASK token");
  }
  MaskedLayout layout = MaskedLayoutBuilder(options_.time_weight, config, rng).build(batch);
  layout.targets.tokenless = tokenless_;
  const Forward forward{.groups = layout.groups,
                        .precision = mode.precision,
                        .dropout = mode.dropout,
                        .dropout_seed = rng.next()};
  const Tensor rows = gather_rows(model.hidden(layout.tokens, forward), layout.rows);
  if (options_.focal > 0) {
    const NoGrad no_grad;
    const HeadLoss now =
        head_loss(rows, model.head(), layout.targets, mode.precision, model.head_bias());
    for (size_t i = 0; i < now.cross_entropy.size(); ++i) {
      const double missing = -std::expm1(-double{now.cross_entropy[i]});
      layout.targets.label_weights[i] *=
          static_cast<float>(kFocalScale * std::pow(std::max(0.0, missing), options_.focal));
    }
  }
  const HeadLoss head =
      head_loss(rows, model.head(), layout.targets, mode.precision, model.head_bias());
  Loss loss;
  loss.sum = head.sum;
  loss.count = layout.maskable;
  loss.rows = static_cast<int64_t>(layout.tokens.size());
  LossPart masked{"masked"}, correct{"masked_accuracy"};
  for (size_t i = 0; i < head.cross_entropy.size(); ++i) {
    masked.sum += head.cross_entropy[i];
    correct.sum += head.correct[i] ? 1 : 0;
  }
  masked.count = correct.count = static_cast<double>(head.cross_entropy.size());
  loss.parts = {masked, correct};
  return loss;
}

}  // namespace alambic
