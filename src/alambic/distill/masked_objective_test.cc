#include "alambic/distill/masked_objective.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "alambic/base/error.h"
#include "alambic/models/transformer.h"

namespace alambic {
namespace {

constexpr TokenId kMaskedTestMask = 19;

std::unique_ptr<Transformer> bidirectional_model(bool shifted) {
  ModelConfig c;
  c.family = "llada";
  c.vocab_size = 20;
  c.dim = 16;
  c.layers = 2;
  c.heads = c.kv_heads = 2;
  c.head_dim = 8;
  c.ffn = 24;
  c.max_positions = 32;
  c.positions = PositionKind::kLearned;
  c.causal = false;
  c.shifted_rows = shifted;
  c.mask = kMaskedTestMask;
  auto model = std::make_unique<Transformer>(c);
  uint64_t stream = 0;
  model->visit([&](Parameter& p) {
    Rng rng(3, ++stream);
    const bool vector = p.value.shape().size() == 1;
    for (float& w : p.value.values()) w = static_cast<float>((vector ? 1 : 0) + 0.3 * rng.normal());
  });
  return model;
}

std::vector<Sequence> masked_documents() {
  std::vector<Sequence> list;
  Rng rng(4);
  for (int i = 0; i < 4; ++i) {
    Sequence s;
    for (int k = 0; k < 9 + i; ++k) s.tokens.push_back(static_cast<TokenId>(rng.below(18)));
    s.prompt_tokens = i;
    list.push_back(std::move(s));
  }
  list[1].learned.assign(list[1].tokens.size() - 1, true);
  list[1].learned[0] = list[1].learned[3] = false;
  return list;
}

Batch all_of(const std::vector<Sequence>& data) {
  Batch batch;
  for (const Sequence& s : data) batch.push_back(&s);
  return batch;
}

// What the objective says with masks of its own choosing, and what one asks the model for those
// masks afterwards: a model that records the tokens it was shown.
class Recorder final : public LanguageModel {
 public:
  explicit Recorder(const Transformer& model) : model_(model) {}
  const ModelConfig& config() const override { return model_.config(); }
  Tensor hidden(std::span<const TokenId> tokens, const Forward& forward) const override {
    shown.assign(tokens.begin(), tokens.end());
    groups = forward.groups;
    return model_.hidden(tokens, forward);
  }
  Tensor logits(const Tensor& rows, Precision precision) const override {
    return model_.logits(rows, precision);
  }
  const Tensor& head() const override { return model_.head(); }
  const Tensor& head_bias() const override { return model_.head_bias(); }
  void visit(const ParameterVisitor&) override {}

  mutable std::vector<TokenId> shown;
  mutable std::vector<RowGroup> groups;

 private:
  const Transformer& model_;
};

constexpr RunMode kMaskedExact{Precision::kFp32, 0, 0};

// The loss from its definition, one sequence and one row at a time. Tolerance: 1e-4 relative.
TEST(MaskedObjective, IsTheWeightedCrossEntropyOfWhatItMasked) {
  for (const bool shifted : {false, true}) {
    const auto model = bidirectional_model(shifted);
    const std::vector<Sequence> data = masked_documents();
    for (const MaskedOptions options :
         {MaskedOptions{TimeWeight::kInverse, 0}, MaskedOptions{TimeWeight::kLinear, 0},
          MaskedOptions{TimeWeight::kLinear, 1.5}}) {
      Rng rng(8);
      const Recorder recorder(*model);
      const Loss loss =
          MaskedObjective(options).evaluate(recorder, all_of(data), kMaskedExact, rng);
      const NoGrad no_grad;
      double expected = 0, maskable = 0;
      size_t begin = 0;
      for (const Sequence& s : data) {
        const std::span<const TokenId> shown(recorder.shown.data() + begin, s.tokens.size());
        const Forward alone{{{static_cast<int>(s.tokens.size()), 0, false}}};
        const Tensor logits = model->logits(model->hidden(shown, alone), Precision::kFp32);
        int masked = 0, open = 0;
        double sum = 0;
        for (size_t i = 0; i < s.tokens.size(); ++i) {
          const bool may = static_cast<int>(i) >= s.prompt_tokens && s.learns(static_cast<int>(i));
          open += may ? 1 : 0;
          if (shown[i] != kMaskedTestMask) {
            EXPECT_EQ(shown[i], s.tokens[i]);
            continue;
          }
          EXPECT_TRUE(may) << i;
          ++masked;
          const float* row = logits.row(static_cast<int64_t>(shifted && i > 0 ? i - 1 : i));
          double total = 0;
          for (int id = 0; id < kMaskedTestMask; ++id) total += std::exp(double{row[id]});
          const double p = std::exp(double{row[s.tokens[i]]}) / total;
          sum += options.focal > 0 ? -std::log(p) * 0.25 * std::pow(1 - p, options.focal)
                                   : -std::log(p);
        }
        EXPECT_GE(masked, 1);
        expected += sum * time_weight(options.time_weight, masked, open);
        maskable += open;
        begin += s.tokens.size();
      }
      EXPECT_DOUBLE_EQ(loss.count, maskable);
      EXPECT_NEAR(loss.sum.data()[0], expected, 1e-4 * expected);
    }
  }
}

TEST(MaskedObjective, TimeWeightsCountATokenAsOneOnAverage) {
  for (const int n : {1, 2, 9, 81}) {
    for (const TimeWeight kind : {TimeWeight::kInverse, TimeWeight::kLinear}) {
      double sum = 0;
      for (int m = 1; m <= n; ++m) sum += m * time_weight(kind, m, n);
      EXPECT_NEAR(sum / n, n, 1e-9 * n);
    }
  }
}

TEST(MaskedObjective, ABatchHoldsEveryShareOfMasks) {
  const auto model = bidirectional_model(false);
  std::vector<Sequence> data(8);
  for (Sequence& s : data) s.tokens.assign(16, 5);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Rng rng(seed);
    const Recorder recorder(*model);
    MaskedObjective({}).evaluate(recorder, all_of(data), kMaskedExact, rng);
    std::vector<int> eighths(8);
    for (size_t i = 0; i < data.size(); ++i) {
      const auto first = recorder.shown.begin() + static_cast<std::ptrdiff_t>(16 * i);
      ++eighths[static_cast<size_t>((std::count(first, first + 16, kMaskedTestMask) - 1) / 2)];
    }
    EXPECT_EQ(eighths, std::vector<int>(8, 1));
  }
}

// Central differences of the loss with the same masks; the focal weight is a constant for the
// gradient, so it is left out. Tolerance: 2 % of the largest gradient of the parameter.
TEST(MaskedObjective, GradientsAreThoseOfTheLoss) {
  const auto model = bidirectional_model(true);
  set_trainable(*model, true);
  const std::vector<Sequence> data = masked_documents();
  const MaskedObjective objective({TimeWeight::kLinear, 0});
  const auto value = [&] {
    Rng rng(12);
    return objective.evaluate(*model, all_of(data), kMaskedExact, rng);
  };
  backward(value().sum);
  model->visit([&](Parameter& p) {
    const Tensor gradient = p.value.grad();
    ASSERT_TRUE(gradient.defined()) << p.name;
    float largest = 1e-3F;
    for (const float g : gradient.values()) largest = std::max(largest, std::abs(g));
    for (int64_t i = 0; i < p.value.size(); i += 1 + p.value.size() / 5) {
      const NoGrad no_grad;
      constexpr float kStep = 1e-2F;
      float& w = p.value.data()[i];
      const float old = w;
      w = old + kStep;
      const double up = value().sum.data()[0];
      w = old - kStep;
      const double down = value().sum.data()[0];
      w = old;
      EXPECT_NEAR(gradient.data()[i], (up - down) / (2 * kStep), 0.02 * largest) << p.name;
    }
  });
}

TEST(MaskedObjective, WantsAMaskTokenAndASensibleFocus) {
  EXPECT_THROW(MaskedObjective({TimeWeight::kInverse, -1}), Error);
  EXPECT_THROW(MaskedObjective({TimeWeight::kInverse, NAN}), Error);
}

}  // namespace
}  // namespace alambic
