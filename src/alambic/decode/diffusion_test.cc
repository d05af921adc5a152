#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"
#include "alambic/decode/decode.h"
#include "alambic/decode/test_models.h"

namespace alambic {
namespace {

TEST(Diffusion, AboveThresholdOneRevealsOneTokenPerStep) {
  const auto model = random_model(12);
  GenerateOptions options;
  options.max_tokens = 24;
  options.block = 6;
  options.reveal.threshold = 1.5;
  options.remask = 0;
  options.vocabulary = 39;
  for (const Prompt& prompt : random_prompts(20, 13)) {
    const Generation out = write(DecodeMode::kDiffusion, *model, prompt, options);
    ASSERT_EQ(out.tokens.size(), 24U);
    for (const TokenId token : out.tokens) EXPECT_LT(token, kTestMask);
    // Per block five forwards of its own; its first is fused with the causal one before, and the
    // last block adds one.
    EXPECT_EQ(out.forwards, 1 + 4 * 6);
    EXPECT_EQ(out.rows, static_cast<int64_t>(prompt.tokens.size()) + 4 * 6 * 6 + 24 - 1);
  }
}

TEST(Diffusion, LogProbabilityIsTheCausalOneOfTheFullPrefix) {
  const auto model = random_model(14);
  GenerateOptions options;
  options.max_tokens = 21;
  options.block = 5;
  options.reveal.threshold = 0.3;
  for (const Prompt& prompt : random_prompts(20, 15)) {
    const Generation out = write(DecodeMode::kDiffusion, *model, prompt, options);
    ASSERT_EQ(out.tokens.size(), 21U);
    std::vector<TokenId> text = prompt.tokens;
    double expected = 0;
    for (const TokenId token : out.tokens) {
      const std::vector<float> logits = full_prefix_logits(*model, text);
      double sum = 0;
      for (size_t t = 0; t < logits.size(); ++t) {
        if (static_cast<TokenId>(t) != kTestMask) sum += std::exp(static_cast<double>(logits[t]));
      }
      expected += logits[static_cast<size_t>(token)] - std::log(sum);
      text.push_back(token);
    }
    EXPECT_NEAR(out.log_probability, expected, 1e-4);
  }
}

TEST(Diffusion, SureMasksFillABlockInOneForward) {
  const PositionModel model(0, 20);
  GenerateOptions options;
  options.max_tokens = 20;
  options.block = 8;
  const Generation out = write(DecodeMode::kDiffusion, model, PositionModel::prompt(2), options);
  ASSERT_EQ(out.tokens.size(), 20U);
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(out.tokens[static_cast<size_t>(i)], PositionModel::text(2 + i));
  EXPECT_EQ(out.forwards, 1 + 3);
  EXPECT_EQ(out.rows, (2 + 8) + (8 + 8) + (8 + 4) + 3);
}

TEST(Diffusion, TheCausalModelCorrectsWhatItRefusesAndRoundsAreBounded) {
  // Masks insist on a wrong token at every fifth position, whatever surrounds them.
  const PositionModel model(5, 20);
  GenerateOptions options;
  options.max_tokens = 40;
  options.block = 10;
  options.max_refinements = 0;
  const Prompt prompt = PositionModel::prompt(1);
  EXPECT_LT(write(DecodeMode::kDiffusion, model, prompt, options).log_probability, -100);
  options.max_refinements = 7;
  const Generation out = write(DecodeMode::kDiffusion, model, prompt, options);
  ASSERT_EQ(out.tokens.size(), 40U);
  for (int i = 0; i < 40; ++i)
    EXPECT_EQ(out.tokens[static_cast<size_t>(i)], PositionModel::text(1 + i));
}

TEST(Diffusion, ARefusedTokenIsWrittenAgainFromWhatSurroundsIt) {
  const PositionModel model(5, 20, true);
  GenerateOptions options;
  options.max_tokens = 40;
  options.block = 10;
  options.max_refinements = 1;
  const Generation out = write(DecodeMode::kDiffusion, model, PositionModel::prompt(1), options);
  ASSERT_EQ(out.tokens.size(), 40U);
  for (int i = 0; i < 40; ++i)
    EXPECT_EQ(out.tokens[static_cast<size_t>(i)], PositionModel::text(1 + i));
  // Per block: one causal forward that refuses two tokens, one that rewrites the second, one causal
  // forward that agrees.
  EXPECT_EQ(out.forwards, 1 + 4 * 3);
}

TEST(Diffusion, RefusingAllButTheBestTokenWritesWhatArWrites) {
  const auto model = random_model(16);
  GenerateOptions options;
  options.max_tokens = 30;
  options.reveal.threshold = 0;
  options.remask = 1;
  options.max_refinements = options.block;
  for (const Prompt& prompt : random_prompts(40, 17)) {
    EXPECT_EQ(write(DecodeMode::kDiffusion, *model, prompt, options).tokens,
              write(DecodeMode::kAutoregressive, *model, prompt, options).tokens);
  }
}

// Surest first, one a forward, computed afresh each time without a cache.
std::vector<TokenId> filled_by_hand(const LanguageModel& model, const Prompt& prompt, int gap,
                                    std::span<const TokenId> suffix) {
  std::vector<TokenId> block(static_cast<size_t>(gap), kTestMask);
  block.insert(block.end(), suffix.begin(), suffix.end());
  const auto before = static_cast<int>(prompt.tokens.size());
  while (true) {
    std::vector<TokenId> tokens = prompt.tokens;
    tokens.insert(tokens.end(), block.begin(), block.end());
    const Forward forward{
        {{before, 0}, {static_cast<int>(block.size()), before, false, {{0, before}}}},
        Precision::kFp32};
    const Tensor logits = model.logits(model.hidden(tokens, forward), Precision::kFp32);
    double surest = -1;
    size_t place = 0;
    TokenId token = 0;
    for (size_t i = 0; i < static_cast<size_t>(gap); ++i) {
      if (block[i] != kTestMask) continue;
      const float* row = logits.row(before + static_cast<int64_t>(i));
      double sum = 0;
      TokenId best = 0;
      for (TokenId t = 0; t < kTestVocabulary; ++t) {
        if (t == kTestMask) continue;
        sum += std::exp(double{row[t]});
        if (row[t] > row[best]) best = t;
      }
      if (const double p = std::exp(double{row[best]}) / sum; p > surest) {
        surest = p;
        place = i;
        token = best;
      }
    }
    if (surest < 0) return {block.begin(), block.begin() + gap};
    block[place] = token;
  }
}

TEST(Diffusion, AGapIsFilledFromBothSides) {
  const auto model = random_model(41);
  const std::vector<TokenId> suffix = {5, 30, 2};
  int differs = 0;
  for (const Prompt& prompt : random_prompts(20, 42)) {
    GenerateOptions options;
    options.max_tokens = 5;
    options.block = 8;
    options.reveal = {.rule = RevealRule::kCount, .count = 1};
    options.suffix = suffix;
    const auto out = write(DecodeMode::kDiffusion, *model, prompt, options).tokens;
    EXPECT_EQ(out, filled_by_hand(*model, prompt, 5, suffix));
    options.suffix = {9, 9, 9};
    if (write(DecodeMode::kDiffusion, *model, prompt, options).tokens != out) ++differs;
  }
  EXPECT_GT(differs, 10);
  GenerateOptions wide;
  wide.max_tokens = 8;
  wide.block = 8;
  wide.suffix = suffix;
  EXPECT_THROW(write(DecodeMode::kDiffusion, *model, {{1}}, wide), Error);
}

// Masks are wrong among nothing but masks; the second forward of a block knows better.
TEST(Diffusion, AnEditReplacesWhatTheModelWouldNowWriteOtherwise) {
  const PositionModel model(5, 20, true);
  GenerateOptions options;
  options.max_tokens = 40;
  options.block = 10;
  options.max_refinements = 0;
  options.reveal = {.rule = RevealRule::kCount, .count = 6};
  const auto wrong = [&] {
    const auto out = write(DecodeMode::kDiffusion, model, PositionModel::prompt(1), options).tokens;
    int count = 0;
    for (int i = 0; i < 40; ++i)
      count += out[static_cast<size_t>(i)] == PositionModel::text(1 + i) ? 0 : 1;
    return count;
  };
  EXPECT_GT(wrong(), 0);
  options.edit = 0.9;
  EXPECT_EQ(wrong(), 0);
}

TEST(Diffusion, EveryRuleWritesTextAndIsWatched) {
  const auto model = random_model(43, 2);
  for (const RevealRule rule : {RevealRule::kThreshold, RevealRule::kEntropy, RevealRule::kCount}) {
    GenerateOptions options;
    options.max_tokens = 20;
    options.reveal = {.rule = rule, .threshold = 0.4, .entropy_bound = 1, .count = 3};
    int64_t forwards = 0;
    size_t settled = 0;
    const RefinementSink watch = [&](const Refinement& state) {
      EXPECT_GE(state.settled.size(), settled);
      EXPECT_GE(state.forwards, forwards);
      settled = state.settled.size();
      forwards = state.forwards;
    };
    options.watch = &watch;
    const Generation out = write(DecodeMode::kDiffusion, *model, {{1, 2, 3}}, options);
    EXPECT_EQ(out.tokens.size(), 20U);
    EXPECT_GT(settled, 8U);
    EXPECT_GT(forwards, 2);
  }
}

TEST(Diffusion, StopsBehindTheBlockWithTheFirstStopToken) {
  const PositionModel model(0, 20);
  GenerateOptions options;
  options.max_tokens = 30;
  options.stop = {PositionModel::text(13)};
  const Generation out = write(DecodeMode::kDiffusion, model, PositionModel::prompt(3), options);
  EXPECT_TRUE(out.stopped);
  ASSERT_EQ(out.tokens.size(), 10U);
  EXPECT_EQ(out.decided, 11);
  EXPECT_EQ(out.tokens.back(), PositionModel::text(12));
}

TEST(Diffusion, SamplesDependOnTheSeedAndOnNothingElse) {
  const auto model = random_model(18);
  GenerateOptions options;
  options.temperature = 1;
  options.max_tokens = 19;
  options.seed = 1;
  const Prompt prompt = random_prompts(1, 19).front();
  const auto first = write(DecodeMode::kDiffusion, *model, prompt, options).tokens;
  EXPECT_EQ(first.size(), 19U);
  EXPECT_EQ(write(DecodeMode::kDiffusion, *model, prompt, options).tokens, first);
  options.seed = 2;
  EXPECT_NE(write(DecodeMode::kDiffusion, *model, prompt, options).tokens, first);
}

}  // namespace
}  // namespace alambic
