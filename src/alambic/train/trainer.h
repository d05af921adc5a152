// The training loop: batches, schedule, clipping, accumulation, checkpoints, metrics.jsonl, a
// progress line.
//
// Everything random is a function of (seed, step), sums have a fixed order, and a checkpoint holds
// the rest: the same seed gives the same weights whatever the thread count, interrupted or not.
#pragma once

#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "alambic/train/objective.h"
#include "alambic/train/optimizer.h"
#include "alambic/train/sampler.h"
#include "alambic/train/schedule.h"

namespace alambic {

// Texts that the model in training brings forth itself: from step `first` on, a round of `steps`
// steps learns the texts that are asked for when it begins.
struct Rounds {
  int64_t first = 0, steps = 1;
  // The texts of a round, which may depend on the model, frozen as it stands. `begins` is false
  // where a training goes on inside of the round: they must be those that it began with. Whenever a
  // round begins, a checkpoint of that very step was stored before.
  std::function<std::vector<Sequence>(int64_t round, bool begins, const LanguageModel& model)>
      texts;
};

struct TrainOptions {
  std::string label = "train";  // on the progress line
  Budget budget{.steps = 100};
  int64_t tokens_per_step = 4096;  // of whole documents; a longer one is a step of its own
  // Steps are computed in pieces of tokens_per_step / accumulation tokens, for the memory. Which
  // documents a step holds does not depend on it.
  int accumulation = 1;
  double lr = 1e-3;
  ScheduleKind schedule = ScheduleKind::kLinear;
  int64_t warmup = 50;
  double lr_floor = 0, cooldown = 0.5;
  AdamWOptions adamw;
  double dropout = 0;
  Precision precision = Precision::kBf16;
  uint64_t seed = 1;
  std::string directory;  // checkpoint.safetensors and metrics.jsonl go here; empty: neither
  double checkpoint_seconds = 60;
  bool resume = false;         // go on from directory's checkpoint if there is one
  int64_t log_every = 10;      // steps between lines of metrics.jsonl
  int64_t validate_every = 0;  // steps between validations; 0: only at the end
  // Ends with the weights that validated best instead of the last, which needs a directory: they
  // lie in best.safetensors until the caller has saved the model.
  bool keep_best = false;
  // What "best" is, where it is not the lowest validation loss: a score of the model as it is,
  // higher is better. Of equals the later one is kept. Called without a graph.
  std::function<double(const LanguageModel& model)> score;
  // What must match for a checkpoint to be resumed, the data included: fingerprint.h.
  std::string fingerprint;
  std::optional<Rounds> rounds = std::nullopt;
};

struct CurvePoint {
  int64_t step, tokens;                // tokens: read, prompts included
  double train_loss, validation_loss;  // per learned token; validation NaN where not measured
  double score = std::numeric_limits<double>::quiet_NaN();  // by TrainOptions::score, where asked
};

struct TrainResult {
  std::vector<CurvePoint> curve;
  int64_t tokens = 0;   // read, prompts included
  int64_t learned = 0;  // of them, those that the loss is taken on
  int64_t rows = 0;
  double seconds = 0;
  double tokens_per_s = 0;   // read, without the time that validation and rounds' texts took
  double peak_fraction = 0;  // of the machine's measured product peak, likewise
  double final_validation = 0;
  int64_t kept_step = 0;  // the step whose weights the model ends with
  int64_t skipped = 0;    // steps whose gradient was not finite
};

// Trains every parameter of `model`. Losses and gradients are sums over a step divided by its
// learned tokens, whatever its size. Throws kInterrupted after storing a checkpoint on Ctrl-C.
//
// metrics.jsonl, one object a line: step; tokens and learned_tokens so far; epoch, how often all
// documents were read, or the number of a round; lr; grad_norm before clipping; loss since the line
// before, and validation, each per learned token; score; the objective's parts; tokens_read_per_s;
// peak_fraction; seconds.
TrainResult train(LanguageModel& model, const Objective& objective, std::span<const Sequence> data,
                  std::span<const Sequence> validation, const TrainOptions& options);

// Mean loss of the objective over all sequences, without a graph. The masks drawn are the same on
// every call.
double mean_loss(const LanguageModel& model, const Objective& objective,
                 std::span<const Sequence> data, Precision precision);

// Floating-point operations of one training step on `rows` rows: 6 per weight and row.
double training_flops(const ModelConfig& config, int64_t rows);

}  // namespace alambic
