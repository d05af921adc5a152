#include "alambic/decode/sampler.h"

#include <gtest/gtest.h>

#include <cmath>

#include "alambic/decode/test_models.h"

namespace alambic {
namespace {

constexpr int kDraws = 20000;

ModelConfig eight_tokens() {
  ModelConfig config;
  config.vocab_size = 8;
  config.mask = 6;
  return config;
}

const std::vector<float> kLogits = {0.5F, 2.0F,  -1.0F, 1.5F,
                                    0.0F, -8.0F, 9.0F,  7.0F};  // 6: MASK, 7: no such token

std::vector<double> frequencies(const GenerateOptions& options,
                                std::span<const TokenId> allowed = {}) {
  Sampler sampler(eight_tokens(), options, 0);
  std::vector<double> share(8);
  for (int i = 0; i < kDraws; ++i) {
    share[static_cast<size_t>(sampler.choose(kLogits, i, allowed).token)] += 1.0 / kDraws;
  }
  return share;
}

// Probabilities at a temperature of some ids, 0 for the others.
std::vector<double> softmax(double temperature, const std::vector<TokenId>& ids) {
  std::vector<double> p(8);
  double sum = 0;
  for (const TokenId id : ids)
    sum += p[static_cast<size_t>(id)] = std::exp(kLogits[static_cast<size_t>(id)] / temperature);
  for (double& x : p) x /= sum;
  return p;
}

// Five standard deviations of a share among kDraws.
void expect_close(const std::vector<double>& got, const std::vector<double>& want) {
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(got[i], want[i], 5 * std::sqrt(want[i] * (1 - want[i]) / kDraws) + 1e-9) << i;
  }
}

GenerateOptions sampled(double temperature, int top_k = 0, double top_p = 1) {
  GenerateOptions options;
  options.temperature = temperature;
  options.top_k = top_k;
  options.top_p = top_p;
  options.vocabulary = 7;
  return options;
}

TEST(Sampler, DrawsFollowTheDistributionAtTheTemperature) {
  expect_close(frequencies(sampled(1)), softmax(1, {0, 1, 2, 3, 4, 5}));
  expect_close(frequencies(sampled(2.5)), softmax(2.5, {0, 1, 2, 3, 4, 5}));
}

TEST(Sampler, TopKKeepsTheMostProbable) {
  expect_close(frequencies(sampled(1.5, 3)), softmax(1.5, {0, 1, 3}));
}

TEST(Sampler, TopPKeepsTheSmallestSetThatHoldsItsMass) {
  // At temperature 1: 1 has 0.46, 3 has 0.28, 0 has 0.10, 4 has 0.06.
  expect_close(frequencies(sampled(1, 0, 0.4)), softmax(1, {1}));
  expect_close(frequencies(sampled(1, 0, 0.7)), softmax(1, {1, 3}));
  expect_close(frequencies(sampled(1, 0, 0.8)), softmax(1, {1, 3, 0}));
}

TEST(Sampler, ADrawFromAnImprobableSetFollowsItsOwnDistribution) {
  const std::vector<TokenId> allowed = {2, 5};
  expect_close(frequencies(sampled(1), allowed), softmax(1, allowed));
}

TEST(Sampler, GreedySkipsMaskAndIdsTheTokenizerDoesNotHave) {
  GenerateOptions options;
  options.vocabulary = 7;
  Sampler sampler(eight_tokens(), options, 0);
  const Choice choice = sampler.choose(kLogits, 0);
  EXPECT_EQ(choice.token, 1);
  EXPECT_NEAR(choice.log_probability, std::log(softmax(1, {0, 1, 2, 3, 4, 5})[1]), 1e-6);
}

TEST(Sampler, ADrawIsAFunctionOfSeedStreamAndPosition) {
  const GenerateOptions options = sampled(2);
  Sampler a(eight_tokens(), options, 0), b(eight_tokens(), options, 0),
      other(eight_tokens(), options, 1);
  int differ = 0;
  for (int i = 99; i >= 0; --i) b.choose(kLogits, i);
  for (int i = 0; i < 100; ++i) {
    const TokenId token = a.choose(kLogits, i).token;
    EXPECT_EQ(token, b.choose(kLogits, i).token);
    differ += token != other.choose(kLogits, i).token ? 1 : 0;
  }
  EXPECT_GT(differ, 30);
}

TEST(Sampler, SimilarRowsDrawTheSameTokenAtTheSamePosition) {
  const GenerateOptions options = sampled(1);
  Sampler sampler(eight_tokens(), options, 0);
  std::vector<float> near = kLogits;
  near[1] += 0.2F;
  int same = 0;
  for (int i = 0; i < 1000; ++i)
    same += sampler.choose(kLogits, i).token == sampler.choose(near, i).token ? 1 : 0;
  EXPECT_GT(same, 900);  // the distributions overlap by 0.95; independent draws would agree in 0.31
}

TEST(Sampler, TheBestAreTheMostProbableWritableTokensInOrder) {
  const GenerateOptions options = sampled(1);
  Sampler sampler(eight_tokens(), options, 0);
  const std::vector<double> p = softmax(1, {0, 1, 2, 3, 4, 5});
  const std::vector<Choice> best = sampler.best(kLogits, 3);
  ASSERT_EQ(best.size(), 3U);
  const TokenId want[] = {1, 3, 0};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(best[i].token, want[i]);
    EXPECT_NEAR(best[i].log_probability, std::log(p[static_cast<size_t>(want[i])]), 1e-6);
  }
  EXPECT_EQ(sampler.best(kLogits, 100).size(), 6U);
}

TEST(Sampler, EntropyIsThatOfTheWritableTokens) {
  ModelConfig config;
  config.vocab_size = 5;
  config.mask = 1;
  const GenerateOptions options;
  Sampler sampler(config, options, 0);
  const std::vector<float> logits = {std::log(1.0F), 50, std::log(2.0F), std::log(5.0F), -100};
  const double expected =
      -(0.125 * std::log(0.125) + 0.25 * std::log(0.25) + 0.625 * std::log(0.625));
  EXPECT_NEAR(sampler.entropy(logits), expected, 1e-6);
}

}  // namespace
}  // namespace alambic
