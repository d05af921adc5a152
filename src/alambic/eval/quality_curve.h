// What a hybrid student's settings of decoding keep of its quality, and what they bring in speed:
// measured on development data, one prompt at a time, beside its own `ar` in the same run. Thread
// safety: as run_task(). Errors: kInvalidArgument for a task without answers or an `ar` that scores
// nothing, kUnsupported for a model that was not trained to draft.
#pragma once

#include "alambic/eval/task.h"

namespace alambic {

struct QualityMeasurement {
  QualityPoint point;
  Score score;
  double tokens_per_s = 0, tokens_per_forward = 0;
  bool on_dial = false;  // no other is both faster and better
};

struct QualityCurve {
  Score ar;
  double ar_tokens_per_s = 0;
  std::vector<QualityMeasurement> measured;  // speculative decoding first
  std::vector<QualityPoint> dial;            // the frontier, for the model's card
  double area = 0;                           // area_under() the dial
};

// "speculative", or "threshold 0.9, remask 0.1".
std::string setting_name(const QualityPoint& point);

// `options.generate` says what all settings share.
QualityCurve measure_quality(Task task, const LanguageModel& model, const Tokenizer& tokenizer,
                             const ModelCard& card, std::span<const Example> examples,
                             const TaskOptions& options);

}  // namespace alambic
