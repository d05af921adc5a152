#include "alambic/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "alambic/base/file.h"
#include "alambic/base/interrupt.h"
#include "alambic/base/json.h"
#include "alambic/base/progress.h"
#include "alambic/tensor/ceilings.h"
#include "alambic/train/checkpoint.h"

namespace alambic {
namespace {

constexpr double kNoLoss = std::numeric_limits<double>::quiet_NaN();
constexpr int kMaxSkippedInARow = 20;

// Sums of named parts over micro-batches and steps, for the log.
class Parts {
 public:
  void add(const std::vector<LossPart>& parts) {
    for (const LossPart& part : parts) {
      auto it = std::find_if(sums_.begin(), sums_.end(),
                             [&](const LossPart& s) { return s.name == part.name; });
      if (it == sums_.end()) it = sums_.insert(sums_.end(), {part.name, 0, 0});
      it->sum += part.sum;
      it->count += part.count;
    }
  }
  void write(Json& line) const {
    for (const LossPart& s : sums_) {
      if (s.count > 0) line[s.name] = s.sum / s.count;
    }
  }
  void clear() { sums_.clear(); }

 private:
  std::vector<LossPart> sums_;
};

// metrics.jsonl. A resumed run drops lines written after the checkpoint, so that steps stay unique.
class Metrics {
 public:
  Metrics(const std::string& directory, int64_t step) {
    if (directory.empty()) return;
    const std::string path = directory + "/metrics.jsonl";
    std::string kept;
    if (step > 0 && file_exists(path)) {
      const std::string old = read_file(path);
      for (const std::string_view line : split_lines(old)) {
        const Json json = Json::parse(line, nullptr, false);
        if (json.is_object() && json.value("step", int64_t{-1}) <= step)
          kept.append(line).append("\n");
        if (json.is_object() && json.value("step", step + 1) <= step) {
          curve_.push_back({json.value("step", int64_t{0}), json.value("tokens", int64_t{0}),
                            number(json, "loss"), number(json, "validation"),
                            number(json, "score")});
        }
      }
    }
    write_file_atomic(path, kept);
    file_ = std::fopen(path.c_str(), "a");
    if (file_ == nullptr) fail(ErrorCode::kIo, "[{}] cannot append", path);
  }
  ~Metrics() {
    if (file_ != nullptr) std::fclose(file_);
  }
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void write(const Json& line) {
    if (file_ == nullptr) return;
    const std::string text = dump_json(line) + "\n";
    if (std::fwrite(text.data(), 1, text.size(), file_) != text.size() || std::fflush(file_) != 0) {
      fail(ErrorCode::kIo, "[metrics.jsonl] cannot write; is the disk full?");
    }
  }
  std::vector<CurvePoint>& curve() { return curve_; }

 private:
  static double number(const Json& json, const char* key) {
    return json.contains(key) && json.at(key).is_number() ? json.at(key).get<double>() : kNoLoss;
  }
  std::FILE* file_ = nullptr;
  std::vector<CurvePoint> curve_;
};

// The documents of the next step: from the data, or from the texts of the round that it is of.
class Documents {
 public:
  Documents(LanguageModel& model, std::span<const Sequence> data, const TrainOptions& options)
      : model_(model), options_(options), data_(data, options.seed) {}

  // Goes on at a checkpoint.
  void restore(const TrainPosition& position) {
    if (!of_round(position.step)) data_.restore(position.epoch, position.document);
  }
  // Makes ready for the step that is next; `store` keeps a checkpoint of that position.
  template <class Store>
  void prepare(const TrainPosition& position, const Store& store) {
    if (!of_round(position.step)) return;
    const int64_t into = position.step - options_.rounds->first;
    const int64_t round = into / options_.rounds->steps;
    if (round == round_) return;
    const Stopwatch watch;
    const bool begins = into % options_.rounds->steps == 0;
    if (begins) store();
    freeze_for_inference(model_, options_.precision);
    texts_ = options_.rounds->texts(round, begins, model_);
    set_trainable(model_, true);
    texts_sampler_.emplace(texts_, Rng(options_.seed, kRoundStream).fork(as_stream(round)).next());
    if (!begins) texts_sampler_->restore(position.epoch, position.document);
    round_ = round;
    seconds_ += watch.seconds();
  }
  Batch next(int64_t tokens) { return sampler().next(tokens); }
  void write_to(TrainPosition& position) {
    position.epoch = sampler().epoch();
    position.document = sampler().position();
  }
  void write_to(Json& line) {
    if (round_ < 0) {
      line["epoch"] = data_.epochs();
    } else {
      line["round"] = round_;
    }
  }
  double seconds() const { return seconds_; }  // that the texts of rounds took

 private:
  static constexpr uint64_t kRoundStream = 0x40d5;
  static uint64_t as_stream(int64_t round) { return static_cast<uint64_t>(round); }
  bool of_round(int64_t step) const { return options_.rounds && step >= options_.rounds->first; }
  StepSampler& sampler() { return texts_sampler_ ? *texts_sampler_ : data_; }

  LanguageModel& model_;
  const TrainOptions& options_;
  StepSampler data_;
  int64_t round_ = -1;
  std::vector<Sequence> texts_;
  std::optional<StepSampler> texts_sampler_;
  double seconds_ = 0;
};

}  // namespace

double training_flops(const ModelConfig& config, int64_t rows) {
  const int64_t looked_up = config.tied_head ? 0 : int64_t{config.vocab_size} * config.dim;
  return 6.0 * static_cast<double>(config.parameters() - looked_up) * static_cast<double>(rows);
}

double mean_loss(const LanguageModel& model, const Objective& objective,
                 std::span<const Sequence> data, Precision precision) {
  const NoGrad no_grad;
  constexpr size_t kTokens = 4096;
  double sum = 0, count = 0;
  Batch batch;
  size_t tokens = 0;
  Rng rng(0x5eed, 1);
  for (size_t i = 0; i < data.size(); ++i) {
    batch.push_back(&data[i]);
    tokens += data[i].tokens.size();
    if (tokens < kTokens && i + 1 < data.size()) continue;
    const Loss loss = objective.evaluate(model, batch, {precision, 0, 1}, rng);
    sum += loss.sum.data()[0];
    count += loss.count;
    batch.clear();
    tokens = 0;
  }
  return count > 0 ? sum / count : kNoLoss;
}

TrainResult train(LanguageModel& model, const Objective& objective, std::span<const Sequence> data,
                  std::span<const Sequence> validation, const TrainOptions& options) {
  set_trainable(model, true);
  AdamWOptimizer optimizer(model, options.adamw);
  Documents source(model, data, options);
  if (std::none_of(data.begin(), data.end(), [](const auto& s) { return s.learned_tokens() > 0; }))
    fail(ErrorCode::kInvalidArgument, "[{}] none of {} documents has a token to learn",
         options.label, data.size());
  const Budget& budget = options.budget;
  const int64_t piece = std::max<int64_t>(1, options.tokens_per_step / options.accumulation);
  const Schedule schedule{options.schedule, budget.steps, options.warmup, options.lr_floor,
                          options.cooldown};
  const std::string checkpoint = options.directory + "/checkpoint.safetensors";
  const std::string best = options.directory + "/best.safetensors";
  const bool keep_best = options.keep_best && !validation.empty() && !options.directory.empty();
  TrainPosition position;
  position.fingerprint = options.fingerprint;
  if (!options.directory.empty()) {
    make_directories(options.directory);
    if (options.resume && file_exists(checkpoint)) {
      position = load_checkpoint(checkpoint, optimizer, options.fingerprint);
      source.restore(position);
    }
  }
  Metrics metrics(options.directory, position.step);
  const double peak = machine_ceilings().product_flops;
  const double seconds_before = position.seconds;
  Progress progress(options.label, budget.steps);
  const Stopwatch watch;
  double last_checkpoint = 0, window_loss = 0, window_count = 0;
  double validating = 0;  // seconds, which no speed of training counts
  int64_t rows = 0, first_tokens = position.tokens, skipped = 0, skipped_in_a_row = 0;
  Parts parts;
  TrainResult result;

  const auto store = [&] {
    if (options.directory.empty()) return;
    position.seconds = seconds_before + watch.seconds();
    save_checkpoint(checkpoint, optimizer, position);
    last_checkpoint = watch.seconds();
  };
  while (position.step < budget.steps) {
    const bool last = position.step + 1 == budget.steps;
    source.prepare(position, store);
    const Batch documents = source.next(
        last && budget.last_step_tokens > 0 ? budget.last_step_tokens : options.tokens_per_step);
    const Rng of_step(options.seed, static_cast<uint64_t>(position.step) + 0x7a11);
    const double done = static_cast<double>(position.step) / static_cast<double>(budget.steps);
    double count = 0, sum = 0;
    uint64_t micro = 0;
    for (const Batch& batch : micro_batches(documents, piece)) {
      Rng rng = of_step.fork(micro++);
      const Loss loss =
          objective.evaluate(model, batch, {options.precision, options.dropout, done}, rng);
      backward(loss.sum);
      sum += loss.sum.data()[0];
      count += loss.count;
      rows += loss.rows;
      parts.add(loss.parts);
    }
    position.tokens += token_count(documents);
    position.learned += static_cast<int64_t>(count);
    const double lr = options.lr * schedule.factor(position.step);
    const double norm = optimizer.step(lr, std::max(1.0, count));
    ++position.step;
    source.write_to(position);
    if (std::isfinite(norm) && std::isfinite(sum)) {
      skipped_in_a_row = 0;
      window_loss += sum;
      window_count += count;
    } else if (++skipped, ++skipped_in_a_row >= kMaxSkippedInARow) {
      fail(ErrorCode::kInvalidArgument,
           "[train] the gradient was not finite for {} steps in a row at step {}; lower the "
           "learning rate",
           kMaxSkippedInARow, position.step);
    }

    const double seconds = watch.seconds();
    const double training = seconds - validating - source.seconds();
    const double speed = static_cast<double>(position.tokens - first_tokens) / training;
    const double fraction = training_flops(model.config(), rows) / training / peak;
    const bool validate =
        !validation.empty() &&
        (last || (options.validate_every > 0 && position.step % options.validate_every == 0));
    if (validate || last || position.step % options.log_every == 0) {
      const double loss = window_count > 0 ? window_loss / window_count : kNoLoss;
      double held_out = kNoLoss, score = kNoLoss;
      if (validate) {
        const Stopwatch validation_watch;
        const NoGrad no_grad;
        held_out = mean_loss(model, objective, validation, options.precision);
        if (keep_best && options.score) score = options.score(model);
        const double worth = options.score ? score : -held_out;
        if (keep_best && std::isfinite(worth) &&
            (position.best_step == 0 || worth >= position.best_score)) {
          // The last weights need no copy: the model holds them.
          if (!last) save_weights(best, optimizer);
          position.best_step = position.step;
          position.best_score = worth;
        }
        validating += validation_watch.seconds();
      }
      Json line = {{"step", position.step},
                   {"tokens", position.tokens},
                   {"learned_tokens", position.learned},
                   {"lr", lr},
                   {"grad_norm", norm},
                   {"tokens_read_per_s", speed},
                   {"peak_fraction", fraction},
                   {"seconds", seconds_before + seconds}};
      source.write_to(line);
      if (std::isfinite(loss)) line["loss"] = loss;
      if (validate) line["validation"] = held_out;
      if (std::isfinite(score)) line["score"] = score;
      parts.write(line);
      metrics.write(line);
      metrics.curve().push_back({position.step, position.tokens, loss, held_out, score});
      if (validate) result.final_validation = held_out;
      window_loss = window_count = 0;
      parts.clear();
    }
    const double shown =
        metrics.curve().empty() ? sum / std::max(1.0, count) : metrics.curve().back().train_loss;
    progress.update(position.step,
                    fmt::format("loss {:.3f} · {:.0f} tokens read/s · {:.0f}% of peak", shown,
                                speed, 100 * fraction));
    if (interrupted()) {
      store();
      throw_if_interrupted("train", "run the same command with --resume to go on");
    }
    if (!last && seconds - last_checkpoint > options.checkpoint_seconds) store();
  }
  store();
  result.kept_step = position.step;
  if (keep_best && position.best_step > 0 && position.best_step < position.step) {
    load_weights(best, optimizer);
    result.kept_step = position.best_step;
  }
  const double seconds = watch.seconds();
  result.curve = metrics.curve();
  result.tokens = position.tokens;
  result.learned = position.learned;
  result.rows = rows;
  result.seconds = seconds_before + seconds;
  const auto new_tokens = static_cast<double>(position.tokens - first_tokens);
  const double training = seconds - validating - source.seconds();
  result.tokens_per_s = new_tokens > 0 ? new_tokens / training : 0;
  result.peak_fraction = training_flops(model.config(), rows) / training / peak;
  result.skipped = skipped;
  return result;
}

}  // namespace alambic
