#include "alambic/distill/hybrid_objective.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "alambic/autograd/ops.h"
#include "alambic/distill/hybrid_layout.h"
#include "alambic/models/transformer.h"
#include "alambic/train/trainer.h"

namespace alambic {
namespace {

ModelConfig tiny(TokenId mask) {
  ModelConfig c;
  c.vocab_size = 30;
  c.dim = 16;
  c.layers = 2;
  c.heads = 2;
  c.kv_heads = 2;
  c.head_dim = 8;
  c.ffn = 24;
  c.mask = mask;
  return c;
}

std::unique_ptr<Transformer> random_model(uint64_t seed) {
  auto model = std::make_unique<Transformer>(tiny(29));
  model->initialise(seed);
  Rng rng(seed, 99);
  model->visit([&](Parameter& p) {
    if (p.value.shape().size() == 1) return;
    for (float& w : p.value.values()) w = static_cast<float>(0.3 * rng.normal());
  });
  return model;
}

std::vector<Sequence> documents() {
  std::vector<Sequence> list;
  Rng rng(4);
  for (int i = 0; i < 5; ++i) {
    Sequence s;
    for (int k = 0; k < 12 + i; ++k) s.tokens.push_back(static_cast<TokenId>(rng.below(28)));
    s.prompt_tokens = 3 + i;
    list.push_back(std::move(s));
  }
  return list;
}

Batch batch_of(const std::vector<Sequence>& data) {
  Batch batch;
  for (const Sequence& s : data) batch.push_back(&s);
  return batch;
}

constexpr RunMode kExact{Precision::kFp32, 0, 0};

double part(const Loss& loss, const std::string& name) {
  for (const LossPart& p : loss.parts) {
    if (p.name == name) return p.count > 0 ? p.sum / p.count : 0;
  }
  return NAN;
}

TEST(HybridObjective, WithoutDraftsItIsTheCrossEntropyOfTheAnswerAlone) {
  const auto model = random_model(1);
  const std::vector<Sequence> data = documents();
  Rng rng(1);
  const Loss loss = HybridObjective({}).evaluate(*model, batch_of(data), kExact, rng);
  double expected = 0, count = 0;
  for (const Sequence& s : data) {
    Forward forward{{{static_cast<int>(s.tokens.size()), 0}}};
    const NoGrad no_grad;
    Tensor logits = model->logits(model->hidden(s.tokens, forward), Precision::kFp32);
    for (size_t t = static_cast<size_t>(s.prompt_tokens); t < s.tokens.size(); ++t) {
      const float* row = logits.row(static_cast<int64_t>(t) - 1);
      double sum = 0;
      for (int j = 0; j < 29; ++j) sum += std::exp(static_cast<double>(row[j]));  // 29 is MASK
      expected += std::log(sum) - row[s.tokens[t]];
      ++count;
    }
  }
  EXPECT_DOUBLE_EQ(loss.count, count);
  EXPECT_NEAR(loss.sum.data()[0], expected, 1e-4 * expected);
}

TEST(HybridObjective, ACopyOfTheTeacherHasNothingToLearnFromIt) {
  const auto model = random_model(1), teacher = random_model(1);
  set_trainable(*model, true);
  const std::vector<Sequence> data = documents();
  for (const Divergence d : {Divergence::kForwardKl, Divergence::kReverseKl, Divergence::kJsd}) {
    HybridOptions options;
    options.alpha = 1;
    options.divergence = d;
    options.temperature = 2;
    Rng rng(1);
    const Loss loss =
        HybridObjective(options, teacher.get()).evaluate(*model, batch_of(data), kExact, rng);
    backward(loss.sum);
    EXPECT_NEAR(loss.sum.data()[0], 0, 1e-3);
    model->visit([](Parameter& p) {
      for (const float g : p.value.grad().values()) EXPECT_NEAR(g, 0, 2e-4);
      p.value.grad() = Tensor();
    });
  }
}

TEST(HybridObjective, StoredProbabilitiesEqualATeacherInMemory) {
  const auto model = random_model(1), teacher = random_model(2);
  std::vector<Sequence> data = documents();
  for (Sequence& s : data) {
    Forward forward{{{static_cast<int>(s.tokens.size()), 0}}};
    const NoGrad no_grad;
    Tensor logits = teacher->logits(teacher->hidden(s.tokens, forward), Precision::kFp32);
    for (size_t t = static_cast<size_t>(s.prompt_tokens); t < s.tokens.size(); ++t) {
      const float* row = logits.row(static_cast<int64_t>(t) - 1);
      TokenSignal signal;
      double sum = 0;
      for (int j = 0; j < 29; ++j) sum += std::exp(static_cast<double>(row[j]));
      for (int j = 0; j < 29; ++j) {
        signal.ids.push_back(j);
        signal.probabilities.push_back(
            static_cast<float>(std::exp(static_cast<double>(row[j])) / sum));
      }
      s.signals.push_back(std::move(signal));
    }
  }
  HybridOptions options;
  options.alpha = 0.6;
  options.draft_weight = 0.5;
  options.block = 4;
  Rng a(3), b(3);
  const Loss stored = HybridObjective(options).evaluate(*model, batch_of(data), kExact, a);
  const Loss memory =
      HybridObjective(options, teacher.get()).evaluate(*model, batch_of(data), kExact, b);
  EXPECT_NEAR(stored.sum.data()[0], memory.sum.data()[0], 1e-3 * memory.sum.data()[0]);
  EXPECT_NEAR(part(stored, "draft_kl"), part(memory, "draft_kl"), 1e-3);
}

// The clean half must not see the masked half, nor blocks see what lies to their right.
TEST(HybridObjective, TheMaskedHalfLeavesTheCleanHalfAlone) {
  const auto model = random_model(1);
  const std::vector<Sequence> data = documents();
  HybridOptions joint;
  joint.draft_weight = 0.5;
  joint.block = 4;
  Rng a(3), b(3);
  const Loss plain = HybridObjective({}).evaluate(*model, batch_of(data), kExact, a);
  const Loss both = HybridObjective(joint).evaluate(*model, batch_of(data), kExact, b);
  EXPECT_EQ(part(plain, "ar"), part(both, "ar"));
}

TEST(HybridObjective, TheCleanHalfDoesNotDependOnWhatTheMaskedHalfDraws) {
  const auto model = random_model(1);
  const std::vector<Sequence> data = documents();
  HybridOptions joint;
  joint.draft_weight = 0.5;
  joint.block = 6;
  joint.edit_share = 0.3;
  joint.draft_decay = 3;
  std::vector<double> clean, masked;
  for (const uint64_t seed : {1, 2, 3}) {
    Rng rng(seed);
    const Loss loss = HybridObjective(joint).evaluate(*model, batch_of(data), kExact, rng);
    clean.push_back(part(loss, "ar"));
    masked.push_back(part(loss, "draft"));
  }
  EXPECT_EQ(clean[0], clean[1]);
  EXPECT_EQ(clean[0], clean[2]);
  EXPECT_NE(masked[0], masked[1]);
}

// The model's probabilities of what follows hidden row `row`, MASK left out.
std::vector<double> probabilities(const LanguageModel& model, const Tensor& hidden, int64_t row,
                                  double temperature) {
  const NoGrad no_grad;
  const std::vector<int64_t> index{row};
  const Tensor logits = model.logits(gather_rows(hidden, index), Precision::kFp32);
  std::vector<double> p;
  p.reserve(29);
  double sum = 0;
  for (int j = 0; j < 29; ++j) p.push_back(std::exp(logits.data()[j] / temperature));
  for (const double x : p) sum += x;
  for (double& x : p) x /= sum;
  return p;
}

TEST(HybridObjective, OnItsOwnTextsDraftsLearnTheCausalHalfWhichIsHeldAndMasksToBeCertain) {
  const auto model = random_model(1);
  std::vector<Sequence> data = documents();
  for (Sequence& s : data) s.own = true;
  HybridOptions options;
  options.draft_weight = 0.5;
  options.draft_decay = 4;
  options.own.certainty = 2;
  options.own.hold = 0.25;
  Rng rng(3), same(3);
  const Loss loss = HybridObjective(options).evaluate(*model, batch_of(data), kExact, rng);
  const HybridLayout layout = hybrid_layout(options, 29, batch_of(data), same);
  const Tensor hidden = model->hidden(layout.tokens, {.groups = layout.groups});
  double expected = 0;
  int drafts = 0, certain = 0, held = 0;
  for (const ScoredRow& row : layout.scored) {
    const TokenId label = row.sequence->tokens[static_cast<size_t>(row.target)];
    const std::vector<double> q = probabilities(*model, hidden, row.row, 1);
    if (row.kind == RowKind::kClean) {
      expected -= 0.25 * std::log(q[static_cast<size_t>(label)]);
      ++held;
      continue;
    }
    if (row.kind == RowKind::kDraft) {
      const std::vector<double> p = probabilities(*model, hidden, row.causal, 1);
      double kept = 0;
      for (size_t j = 0; j < p.size(); ++j) kept += std::min(p[j], q[j]);
      expected += row.weight * (1 - kept);
      ++drafts;
      continue;
    }
    double entropy = 0;
    if (std::max_element(q.begin(), q.end()) - q.begin() == label) {
      for (const double x : probabilities(*model, hidden, row.row, 0.5)) entropy -= x * std::log(x);
      ++certain;
    }
    expected += row.weight * (2 * entropy - std::log(q[static_cast<size_t>(label)]));
  }
  ASSERT_GT(drafts, 0);
  ASSERT_GT(certain, 0);
  ASSERT_GT(held, 0);
  EXPECT_NEAR(loss.sum.data()[0], expected, 1e-4 * expected);
  EXPECT_EQ(part(loss, "ar"), 0);
}

TEST(HybridObjective, GivenTextsCountTheSameBesideOwnOnes) {
  const auto model = random_model(1);
  std::vector<Sequence> data = documents();
  Rng a(3), b(3);
  HybridOptions options;
  options.draft_weight = 0.5;
  const Batch given{&data[0], &data[1]};
  const Loss alone = HybridObjective(options).evaluate(*model, given, kExact, a);
  data[2].own = true;
  const Loss mixed =
      HybridObjective(options).evaluate(*model, {&data[0], &data[1], &data[2]}, kExact, b);
  EXPECT_EQ(part(alone, "ar"), part(mixed, "ar"));
  EXPECT_NEAR(part(alone, "draft"), part(mixed, "draft"), 1e-6);
}

// What a teacher says of a text that the model wrote takes the place of what it wrote.
TEST(HybridObjective, OfMarkedTextsTheCausalHalfLearnsTheMarksAndNothingElse) {
  const auto model = random_model(1);
  std::vector<Sequence> data{documents()[0]};
  Sequence& s = data[0];
  s.own = true;
  s.signals.resize(s.tokens.size() - static_cast<size_t>(s.prompt_tokens));
  s.learned.resize(s.signals.size());
  s.signals[2] = {{4, 7, 11}, {0.5F, 0.2F, 0.1F}, 0.2F};
  s.learned[2] = true;
  const auto target = static_cast<size_t>(s.prompt_tokens) + 2;
  Forward forward{{{static_cast<int>(s.tokens.size()), 0}}};
  std::vector<double> q(29);
  {
    const NoGrad no_grad;
    Tensor logits = model->logits(model->hidden(s.tokens, forward), Precision::kFp32);
    const float* row = logits.row(static_cast<int64_t>(target) - 1);
    double sum = 0;
    for (size_t j = 0; j < q.size(); ++j) sum += q[j] = std::exp(double{row[j]});
    for (double& x : q) x /= sum;
  }
  const double tail = 1 - q[4] - q[7] - q[11];
  const double reverse = q[4] * std::log(q[4] / 0.5) + q[7] * std::log(q[7] / 0.2) +
                         q[11] * std::log(q[11] / 0.1) + tail * std::log(tail / 0.2);
  Rng rng(1);
  const Loss loss = HybridObjective({}).evaluate(*model, batch_of(data), kExact, rng);
  EXPECT_NEAR(loss.sum.data()[0], reverse, 1e-4 * reverse);
  EXPECT_NEAR(part(loss, "on_policy"), reverse, 1e-4 * reverse);
  EXPECT_EQ(loss.count, 1);
  const Loss jsd = HybridObjective({.on_policy_divergence = Divergence::kJsd})
                       .evaluate(*model, batch_of(data), kExact, rng);
  EXPECT_LT(jsd.sum.data()[0], loss.sum.data()[0]);
  EXPECT_GT(jsd.sum.data()[0], 0);
  // Beside given texts and texts of its own without marks, each learns its own.
  std::vector<Sequence> others = documents();
  others[1].own = true;
  const Loss both = HybridObjective({}).evaluate(*model, {&others[0], &others[1]}, kExact, rng);
  const Loss all = HybridObjective({}).evaluate(*model, {&others[0], &s, &others[1]}, kExact, rng);
  EXPECT_NEAR(all.sum.data()[0], both.sum.data()[0] + loss.sum.data()[0], 1e-4 * all.sum.data()[0]);
}

TEST(HybridObjective, LossOfABlockDoesNotMoveWithTokensToItsRight) {
  const auto model = random_model(1);
  std::vector<Sequence> data{documents().back()};
  Sequence& s = data[0];
  s.prompt_tokens = static_cast<int>(s.tokens.size()) - 6;
  HybridOptions options;
  options.ar_weight = 0;
  options.draft_weight = 1;
  options.suffix_share = 1;
  options.block = 1;  // one token a block: its loss is a function of the tokens before it alone
  std::vector<double> losses;
  for (int shorter = 0; shorter < 3; ++shorter) {
    Rng rng(9);
    const Loss loss = HybridObjective(options).evaluate(*model, batch_of(data), kExact, rng);
    losses.push_back(loss.sum.data()[0]);
    s.tokens.pop_back();
  }
  EXPECT_GT(losses[0], losses[1]);
  // Prefixes nest: dropping the last token takes exactly its own loss away.
  data = {documents().back()};
  data[0].prompt_tokens = static_cast<int>(data[0].tokens.size()) - 1;
  Rng rng(9);
  const Loss last = HybridObjective(options).evaluate(*model, batch_of(data), kExact, rng);
  EXPECT_NEAR(losses[0] - losses[1], last.sum.data()[0], 2e-4 * losses[0]);
}

TEST(HybridObjective, MaskedDiffusionOverTheWholeAnswerIsASetting) {
  const auto model = random_model(1);
  std::vector<Sequence> data = documents();
  for (Sequence& s : data) s.prompt_tokens = 0;
  HybridOptions options;
  options.ar_weight = 0;
  options.draft_weight = 1;
  options.block = 0;
  Rng rng(3);
  const Loss loss = HybridObjective(options).evaluate(*model, batch_of(data), kExact, rng);
  double tokens = 0;
  for (const Sequence& s : data) tokens += static_cast<double>(s.tokens.size());
  EXPECT_EQ(static_cast<double>(loss.rows), tokens);  // no clean row is computed
  EXPECT_EQ(loss.count, tokens);
  EXPECT_TRUE(std::isfinite(loss.sum.data()[0]));
  EXPECT_EQ(part(loss, "ar"), 0);
}

TEST(HybridObjective, LearnsBothHalvesOfAFewDocuments) {
  const std::vector<Sequence> data = documents();
  Transformer model(tiny(29));
  model.initialise(3);
  HybridOptions options;
  options.draft_weight = 0.5;
  options.block = 4;
  TrainOptions train_as;
  train_as.budget.steps = 400;
  train_as.tokens_per_step = 100;
  train_as.lr = 0.01;
  train(model, HybridObjective(options), data, {}, train_as);
  Rng rng(3);
  set_trainable(model, false);
  const Loss loss = HybridObjective(options).evaluate(model, batch_of(data), kExact, rng);
  EXPECT_LT(part(loss, "ar"), 0.1);
  EXPECT_LT(part(loss, "draft"), 0.5);
}

TEST(HybridObjective, RefusesSettingsThatMeanNothing) {
  EXPECT_THROW(HybridObjective({.ar_weight = 0, .draft_weight = 0}), Error);
  EXPECT_THROW(HybridObjective({.alpha = 1.5}), Error);
  EXPECT_THROW(HybridObjective({.block_min = 0}), Error);
  EXPECT_THROW(HybridObjective({.edit_share = 1}), Error);
  EXPECT_THROW(HybridObjective({.temperature = 0}), Error);
  Transformer model(tiny(-1));
  model.initialise(1);
  Rng rng(1);
  const std::vector<Sequence> data = documents();
  EXPECT_THROW(HybridObjective({.draft_weight = 1}).evaluate(model, batch_of(data), kExact, rng),
               Error);
}

}  // namespace
}  // namespace alambic
