#include "alambic/eval/quality_curve.h"

#include <fmt/format.h>

#include <algorithm>

#include "alambic/base/error.h"
#include "alambic/base/progress.h"
#include "alambic/decode/quality.h"

namespace alambic {
namespace {

constexpr double kThresholds[] = {0.98, 0.9, 0.75, 0.6, 0.4, 0.2, 0};
constexpr double kRemasks[] = {0.1, 0};

bool same_setting(const QualityPoint& a, const QualityPoint& b) {
  return a.lossless == b.lossless && a.threshold == b.threshold && a.remask == b.remask;
}

}  // namespace

std::string setting_name(const QualityPoint& point) {
  return point.lossless ? "speculative"
                        : fmt::format("threshold {:g}, remask {:g}", point.threshold, point.remask);
}

QualityCurve measure_quality(Task task, const LanguageModel& model, const Tokenizer& tokenizer,
                             const ModelCard& card, std::span<const Example> examples,
                             const TaskOptions& options) {
  if (task == Task::kPerplexity) {
    fail(ErrorCode::kInvalidArgument, "[quality] perplexity has no answers to measure");
  }
  if (options.generate.block == 0) {
    fail(ErrorCode::kUnsupported,
         "[quality] this model was not trained to draft, so it has no settings to measure; adapt "
         "it with alambic train --adapt");
  }
  std::vector<QualityPoint> points = {{.lossless = true}};
  for (const double threshold : kThresholds) {
    for (const double remask : kRemasks) points.push_back({false, threshold, remask});
  }
  TaskOptions each = options;
  each.batch = 1;
  each.progress.clear();
  Progress progress("quality", static_cast<int64_t>(points.size()) + 1);
  QualityCurve curve;
  each.mode = DecodeMode::kAutoregressive;
  const TaskResult ar = run_task(task, model, tokenizer, card, examples, each);
  if (!(ar.score.value > 0)) {
    fail(ErrorCode::kInvalidArgument,
         "[quality] ar scores 0 on these examples, so nothing can be kept of it");
  }
  curve.ar = ar.score;
  curve.ar_tokens_per_s = ar.tokens_per_s();
  curve.measured.reserve(points.size());
  progress.update(1);
  for (QualityPoint& point : points) {
    each.mode = apply(point, each.generate);
    const TaskResult result = run_task(task, model, tokenizer, card, examples, each);
    point.kept = result.score.value / ar.score.value;
    // Answers differ in length: what counts is how soon they are there.
    point.speed = ar.seconds / result.seconds;
    curve.measured.push_back(
        {point, result.score, result.tokens_per_s(), result.tokens_per_forward()});
    progress.update(static_cast<int64_t>(curve.measured.size()) + 1);
  }
  curve.dial = frontier(std::move(points));
  for (QualityMeasurement& m : curve.measured) {
    m.on_dial = std::any_of(curve.dial.begin(), curve.dial.end(),
                            [&](const QualityPoint& p) { return same_setting(p, m.point); });
  }
  curve.area = area_under(curve.dial);
  return curve;
}

}  // namespace alambic
