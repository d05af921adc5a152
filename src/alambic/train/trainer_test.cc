#include "alambic/train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <stdexcept>

#include "alambic/autograd/ops.h"
#include "alambic/autograd/ops_head.h"
#include "alambic/base/file.h"
#include "alambic/base/thread_pool.h"
#include "alambic/models/transformer.h"
#include "alambic/train/checkpoint.h"
#include "alambic/train/sampler.h"

namespace alambic {
namespace {

ModelConfig tiny() {
  ModelConfig c;
  c.vocab_size = 40;
  c.dim = 16;
  c.layers = 2;
  c.heads = 2;
  c.kv_heads = 1;
  c.head_dim = 8;
  c.ffn = 32;
  return c;
}

// Next-token cross-entropy, written without the objective of the room above.
class NextToken final : public Objective {
 public:
  Loss evaluate(const LanguageModel& model, const Batch& batch, const RunMode& mode,
                Rng& rng) const override {
    std::vector<TokenId> tokens;
    std::vector<int64_t> rows;
    HeadTargets targets;
    Forward forward{{}, mode.precision, mode.dropout, rng.next()};
    for (const Sequence* s : batch) {
      const auto begin = static_cast<int64_t>(tokens.size());
      for (size_t i = 1; i < s->tokens.size(); ++i) {
        rows.push_back(begin + static_cast<int64_t>(i) - 1);
        targets.labels.push_back(s->tokens[i]);
        targets.label_weights.push_back(1);
      }
      tokens.insert(tokens.end(), s->tokens.begin(), s->tokens.end());
      forward.groups.push_back({static_cast<int>(s->tokens.size()), 0});
    }
    const auto count = static_cast<double>(rows.size());
    const Tensor hidden = gather_rows(model.hidden(tokens, forward), std::move(rows));
    return {head_loss(hidden, model.head(), targets, mode.precision).sum,
            count,
            static_cast<int64_t>(tokens.size()),
            {}};
  }
};

std::vector<Sequence> documents(int count) {
  std::vector<Sequence> list;
  Rng rng(4);
  for (int i = 0; i < count; ++i) {
    Sequence s;
    for (uint64_t k = 0; k < 5 + rng.below(6); ++k) {
      s.tokens.push_back(static_cast<TokenId>(rng.below(40)));
    }
    list.push_back(std::move(s));
  }
  return list;
}

TrainOptions options(int64_t steps) {
  TrainOptions o;
  o.budget.steps = steps;
  o.tokens_per_step = 40;
  o.lr = 0.01;
  o.warmup = 2;
  o.fingerprint = "test";
  o.log_every = 1;
  return o;
}

std::vector<float> weights_of(Transformer& model) {
  std::vector<float> all;
  model.visit([&](Parameter& p) {
    all.insert(all.end(), p.value.values().begin(), p.value.values().end());
  });
  return all;
}

std::string scratch(const char* name) {
  const auto path = std::filesystem::temp_directory_path() / (std::string("alambic_train_") + name);
  std::filesystem::remove_all(path);
  return path.string();
}

TEST(Schedule, WarmsUpAndFallsToItsFloor) {
  const Schedule linear{ScheduleKind::kLinear, 100, 10, 0.0, 0.5};
  EXPECT_DOUBLE_EQ(linear.factor(0), 0.1);
  EXPECT_DOUBLE_EQ(linear.factor(9), 1.0);
  EXPECT_DOUBLE_EQ(linear.factor(55), 0.5);
  const Schedule cosine{ScheduleKind::kCosine, 100, 0, 0.1, 0.5};
  EXPECT_NEAR(cosine.factor(50), 0.55, 1e-12);
  const Schedule wsd{ScheduleKind::kWsd, 100, 0, 0.0, 0.4};
  EXPECT_DOUBLE_EQ(wsd.factor(59), 1.0);
  EXPECT_NEAR(wsd.factor(80), 0.5, 1e-12);
  EXPECT_THROW(schedule_from_name("step"), Error);
}

// How often each document is in the first `steps` steps.
std::vector<int> times_met(const std::vector<Sequence>& data, const Budget& budget, int64_t tokens,
                           uint64_t seed) {
  StepSampler sampler(data, seed);
  std::vector<int> met(data.size());
  for (int64_t step = 0; step < budget.steps; ++step) {
    const bool last = step + 1 == budget.steps;
    const Batch batch = sampler.next(last ? budget.last_step_tokens : tokens);
    EXPECT_TRUE(batch.size() == 1 || token_count(batch) <= tokens);
    for (const Sequence* s : batch) ++met[static_cast<size_t>(s - data.data())];
  }
  return met;
}

TEST(StepSampler, MeetsEveryDocumentAsOftenAsThereAreEpochs) {
  const std::vector<Sequence> data = documents(23);
  for (const int64_t tokens : {1, 7, 10, 30, 100, 10000}) {
    for (const int epochs : {1, 2, 7}) {
      const Budget budget = budget_of_epochs(data, epochs, tokens, 7);
      EXPECT_EQ(times_met(data, budget, tokens, 7), std::vector<int>(data.size(), epochs))
          << tokens << " tokens a step, " << epochs << " epochs";
    }
  }
}

TEST(StepSampler, AFractionOfAnEpochIsThatManyDocuments) {
  const std::vector<Sequence> data = documents(10);
  const auto sum = [&](double epochs) {
    const Budget budget = budget_of_epochs(data, epochs, 25, 3);
    const std::vector<int> met = times_met(data, budget, 25, 3);
    for (const int times : met) {
      EXPECT_GE(times, std::floor(epochs));
      EXPECT_LE(times, std::ceil(epochs));
    }
    return std::accumulate(met.begin(), met.end(), 0);
  };
  EXPECT_EQ(sum(0.01), 1);
  EXPECT_EQ(sum(0.5), 5);
  EXPECT_EQ(sum(2.3), 23);
  EXPECT_THROW(budget_of_epochs(data, 1e300, 25, 3), Error);
}

TEST(StepSampler, GoesOnFromItsPosition) {
  const std::vector<Sequence> data = documents(23);
  StepSampler sampler(data, 7), other(data, 7);
  for (int step = 0; step < 40; ++step) {
    other.restore(sampler.epoch(), sampler.position());
    EXPECT_EQ(sampler.epochs(), other.epochs());
    EXPECT_EQ(sampler.next(30), other.next(30));
  }
  EXPECT_THROW(other.restore(0, 1000), Error);
}

TEST(MicroBatches, CutAStepWithoutChangingWhatItHolds) {
  const std::vector<Sequence> data = documents(12);
  StepSampler sampler(data, 1);
  const Batch step = sampler.next(80);
  for (const int64_t tokens : {1, 9, 20, 80, 1000}) {
    Batch joined;
    for (const Batch& piece : micro_batches(step, tokens)) {
      EXPECT_TRUE(piece.size() == 1 || token_count(piece) <= tokens);
      joined.insert(joined.end(), piece.begin(), piece.end());
    }
    EXPECT_EQ(joined, step);
  }
}

TEST(Trainer, ReadsEveryDocumentOnceAnEpochWhateverTheAccumulation) {
  const std::vector<Sequence> data = documents(11);
  for (const int accumulation : {1, 3, 8}) {
    Transformer model(tiny());
    model.initialise(1);
    TrainOptions o = options(0);
    o.accumulation = accumulation;
    o.budget = budget_of_epochs(data, 3, o.tokens_per_step, o.seed);
    EXPECT_EQ(train(model, NextToken(), data, {}, o).tokens, 3 * token_count(data));
  }
}

// The same sum over the same documents, in another order of additions.
TEST(Trainer, AccumulationHardlyChangesTheWeights) {
  const std::vector<Sequence> data = documents(12);
  std::vector<std::vector<float>> results;
  for (const int accumulation : {1, 4}) {
    Transformer model(tiny());
    model.initialise(5);
    TrainOptions o = options(3);
    o.accumulation = accumulation;
    o.precision = Precision::kFp32;
    o.adamw.eps = 1e-3;
    train(model, NextToken(), data, {}, o);
    results.push_back(weights_of(model));
  }
  for (size_t i = 0; i < results[0].size(); ++i) EXPECT_NEAR(results[0][i], results[1][i], 1e-4);
}

TEST(Trainer, RefusesDocumentsOfWhichNothingIsLearned) {
  std::vector<Sequence> data = documents(3);
  for (Sequence& s : data) s.prompt_tokens = static_cast<int>(s.tokens.size());
  Transformer model(tiny());
  model.initialise(1);
  EXPECT_THROW(train(model, NextToken(), data, {}, options(1)), Error);
}

TEST(Trainer, OverfitsOneBatch) {
  const std::vector<Sequence> data = documents(3);
  Transformer model(tiny());
  model.initialise(1);
  TrainOptions o = options(300);
  train(model, NextToken(), data, {}, o);
  // The first token after a shared beginning may stay open; three random documents share none.
  EXPECT_LT(mean_loss(model, NextToken(), data, Precision::kBf16), 0.1);
}

// Weights by step, and a score that is highest in the middle.
TEST(Trainer, EndsWithTheWeightsThatScoredBest) {
  const std::vector<Sequence> data = documents(12), held_out = documents(3);
  std::map<int64_t, std::vector<float>> seen;
  const auto train_once = [&](const std::string& directory, bool resume, int64_t stop_at) {
    Transformer model(tiny());
    model.initialise(5);
    TrainOptions o = options(12);
    o.directory = directory;
    o.resume = resume;
    o.checkpoint_seconds = 0;
    o.validate_every = 2;
    o.keep_best = true;
    int64_t calls = 0;
    o.score = [&](const LanguageModel&) {
      const int64_t step = resume ? 8 + 2 * calls : 2 * (calls + 1);
      ++calls;
      if (step == stop_at) throw std::runtime_error("killed");
      seen[step] = weights_of(model);
      return step == 4 || step == 6 ? 0.9 : 0.5;
    };
    const TrainResult result = train(model, NextToken(), data, held_out, o);
    EXPECT_EQ(result.kept_step, 6) << "of equals the later one";
    return weights_of(model);
  };
  const std::vector<float> kept = train_once(scratch("best"), false, -1);
  EXPECT_EQ(kept, seen.at(6));
  EXPECT_NE(kept, seen.at(12));
  const std::string directory = scratch("best_resumed");
  EXPECT_THROW(train_once(directory, false, 8), std::runtime_error);
  EXPECT_EQ(train_once(directory, true, -1), kept);
}

TEST(Trainer, WithoutAScoreTheLowestValidationLossIsBest) {
  const std::vector<Sequence> data = documents(2), held_out = documents(40);
  Transformer model(tiny());
  model.initialise(5);
  TrainOptions o = options(200);
  o.directory = scratch("best_loss");
  o.validate_every = 10;
  o.keep_best = true;
  const TrainResult result = train(model, NextToken(), data, held_out, o);
  double lowest = result.final_validation;
  for (const CurvePoint& p : result.curve)
    if (std::isfinite(p.validation_loss)) lowest = std::min(lowest, p.validation_loss);
  EXPECT_LT(lowest, result.final_validation) << "two documents are learned by heart";
  EXPECT_NEAR(mean_loss(model, NextToken(), held_out, Precision::kBf16), lowest, 1e-6);
}

TEST(Trainer, ItsSpeedDoesNotCountValidation) {
  const std::vector<Sequence> data = documents(8), held_out = documents(64);
  Transformer model(tiny());
  model.initialise(1);
  TrainOptions o = options(2);
  o.validate_every = 1;
  const TrainResult result = train(model, NextToken(), data, held_out, o);
  EXPECT_GT(result.tokens_per_s, static_cast<double>(result.tokens) / result.seconds);
}

// Nearly: a tied head favours the present token a little, and the copying circuit what followed it
// before. A wrong scale would be off by several nats.
TEST(Trainer, FirstLossIsNearlyThatOfAUniformGuess) {
  Transformer model(tiny());
  model.initialise(1);
  EXPECT_NEAR(mean_loss(model, NextToken(), documents(20), Precision::kFp32), std::log(40), 0.5);
}

TEST(Trainer, SameSeedGivesSameWeightsForAnyThreadCount) {
  const std::vector<Sequence> data = documents(12);
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2, 3}) {
    set_thread_count(threads);
    Transformer model(tiny());
    model.initialise(5);
    TrainOptions o = options(12);
    o.dropout = 0.1;
    o.accumulation = 2;
    train(model, NextToken(), data, {}, o);
    results.push_back(weights_of(model));
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

// Fails at one of its calls, as a program that is killed does.
class Killed final : public Objective {
 public:
  explicit Killed(int good_calls) : good_calls_(good_calls) {}
  Loss evaluate(const LanguageModel& model, const Batch& batch, const RunMode& mode,
                Rng& rng) const override {
    if (good_calls_-- == 0) fail(ErrorCode::kInterrupted, "[test] killed");
    return NextToken().evaluate(model, batch, mode, rng);
  }

 private:
  mutable int good_calls_;
};

struct RoundCall {
  int64_t round;
  bool begins;
  bool operator==(const RoundCall&) const = default;
};

TEST(Trainer, RoundsBeginWithTheWeightsOfTheirFirstStepAndGoOnWithTheirTexts) {
  const std::vector<Sequence> data = documents(9);
  std::vector<RoundCall> calls;
  // A round's texts are drawn with what the model then was.
  std::vector<std::vector<Sequence>> kept(4);
  const auto trained = [&](const std::string& directory, int good_calls, bool resume) {
    Transformer model(tiny());
    model.initialise(5);
    TrainOptions o = options(11);
    o.directory = directory;
    o.resume = resume;
    o.checkpoint_seconds = 0;
    o.rounds = Rounds{
        .first = 3, .steps = 3, .texts = [&](int64_t round, bool begins, const LanguageModel& m) {
          calls.push_back({round, begins});
          std::vector<Sequence>& texts = kept[static_cast<size_t>(round)];
          if (!begins) return texts;
          EXPECT_TRUE(file_exists(directory + "/checkpoint.safetensors"));
          EXPECT_FALSE(m.head().requires_grad());
          const auto weight = static_cast<uint64_t>(std::abs(m.head().data()[0]) * 1e7F);
          texts = documents(5);
          for (Sequence& s : texts)
            s.tokens.push_back(static_cast<TokenId>((weight + s.tokens.size()) % 40));
          return texts;
        }};
    train(model, Killed(good_calls), data, {}, o);
    return weights_of(model);
  };
  const std::vector<float> whole = trained(scratch("rounds"), 1000, false);
  EXPECT_EQ(calls, (std::vector<RoundCall>{{0, true}, {1, true}, {2, true}}));
  for (int killed = 0; killed < 11; ++killed) {
    const std::string directory = scratch("rounds_killed");
    EXPECT_THROW(trained(directory, killed, false), Error);
    calls.clear();
    EXPECT_EQ(trained(directory, 1000, true), whole) << killed;
    if (killed == 7) {
      EXPECT_EQ(calls, (std::vector<RoundCall>{{1, false}, {2, true}}));
    }
  }
}

TEST(Checkpoint, IsRefusedForAnotherRunAndWhenDamaged) {
  const std::string directory = scratch("checkpoint");
  std::filesystem::create_directories(directory);
  Transformer model(tiny());
  model.initialise(2);
  set_trainable(model, true);
  AdamWOptimizer optimizer(model, {});
  const std::string path = directory + "/c.safetensors";
  save_checkpoint(path, optimizer, {3, 50, 40, 0, 2, 1.5, "mine"});
  const TrainPosition position = load_checkpoint(path, optimizer, "mine");
  EXPECT_EQ(position.step, 3);
  EXPECT_EQ(position.learned, 40);
  EXPECT_EQ(position.document, 2);
  EXPECT_THROW(load_checkpoint(path, optimizer, "another"), Error);
  std::filesystem::resize_file(path, 1000);
  EXPECT_THROW(load_checkpoint(path, optimizer, "mine"), Error);
}

TEST(Optimizer, LeavesWeightsAloneWhenTheGradientIsNotFinite) {
  Transformer model(tiny());
  model.initialise(2);
  set_trainable(model, true);
  AdamWOptimizer optimizer(model, {});
  const std::vector<float> before = weights_of(model);
  model.visit([](Parameter& p) {
    p.value.grad() = Tensor::zeros(p.value.shape());
    p.value.grad().data()[0] = INFINITY;
  });
  EXPECT_FALSE(std::isfinite(optimizer.step(0.1, 1)));
  EXPECT_EQ(weights_of(model), before);
}

// The first step of Adam has the size of the learning rate.
TEST(Optimizer, ATableMovesInProportionToItsScaleAndNeverSlower) {
  for (const double scale : {0.5, 4.0}) {
    Transformer model(tiny());
    model.initialise(2);
    set_trainable(model, true);
    const auto fill = [&](Parameter& p) {
      const auto value = static_cast<float>(scale * AdamWOptimizer::kTableRms);
      std::fill_n(p.value.data(), p.value.size(), value);
      p.value.grad() = Tensor::empty(p.value.shape());
      for (float& g : p.value.grad().values()) g = 1.0F;
    };
    model.visit(fill);
    AdamWOptimizer optimizer(model, {.weight_decay = 0});
    optimizer.step(1e-3, 1);
    model.visit([&](Parameter& p) {
      const double rate = p.name == "embedding" ? std::max(1.0, scale) : 1.0;
      EXPECT_NEAR(scale * AdamWOptimizer::kTableRms - p.value.data()[0], 1e-3 * rate, 1e-5)
          << p.name;
    });
  }
}

TEST(Optimizer, ClipsTheGlobalNorm) {
  // With one step, Adam's update does not depend on the gradient's scale, so look at the second
  // moment.
  Transformer model(tiny());
  model.initialise(2);
  set_trainable(model, true);
  AdamWOptimizer optimizer(model, {.clip = 1.0});
  double squares = 0;
  model.visit([&](Parameter& p) {
    p.value.grad() = Tensor::empty(p.value.shape());
    for (float& g : p.value.grad().values()) g = 3.0F;
    squares += 9.0 * static_cast<double>(p.value.size());
  });
  const double norm = optimizer.step(1e-3, 1);
  EXPECT_NEAR(norm, std::sqrt(squares), 1e-3 * norm);
  const float clipped = 3.0F / static_cast<float>(norm);
  EXPECT_NEAR(optimizer.slots()[0].m.data()[0], 0.1F * clipped, 1e-6);
}

}  // namespace
}  // namespace alambic
