#include <gtest/gtest.h>

#include <cmath>

#include "alambic/base/error.h"
#include "alambic/decode/decode.h"
#include "alambic/decode/test_models.h"

namespace alambic {
namespace {

// Shared beginnings, a member that begins another, single tokens.
std::vector<std::vector<TokenId>> labels() {
  return {{1, 2, 3}, {1, 2, 4, 5}, {1, 6}, {7}, {8, 9, 9, 9, 9}, {8, 9, 10}, {1, 2}, {11, 12, 13}};
}

double full_prefix_score(const LanguageModel& model, std::vector<TokenId> text,
                         const std::vector<TokenId>& member) {
  double score = 0;
  for (const TokenId token : member) {
    const std::vector<float> logits = full_prefix_logits(model, text);
    double sum = 0;
    for (size_t t = 0; t < 39; ++t) {
      if (static_cast<TokenId>(t) != kTestMask) sum += std::exp(static_cast<double>(logits[t]));
    }
    score += logits[static_cast<size_t>(token)] - std::log(sum);
    text.push_back(token);
  }
  return score;
}

TEST(Choices, ScoresAreThoseOfEachChoiceComputedAlone) {
  const auto model = random_model(30);
  const TokenTrie trie(labels());
  for (const Prompt& prompt : random_prompts(20, 31)) {
    const std::vector<double> scores = score_choices(*model, prompt, trie, Precision::kFp32, 39);
    ASSERT_EQ(scores.size(), labels().size());
    for (size_t i = 0; i < scores.size(); ++i) {
      EXPECT_NEAR(scores[i], full_prefix_score(*model, prompt.tokens, labels()[i]), 1e-4);
    }
  }
}

TEST(Choices, ASetTooLargeForOneForwardScoresTheSame) {
  const auto model = random_model(32);
  std::vector<std::vector<TokenId>> many;
  for (TokenId a = 0; a < 30; ++a) {
    for (TokenId b = 0; b < 30; ++b) many.push_back({a, b, (a + b) % 7});
  }
  const Prompt prompt{{1, 2, 3}};
  const std::vector<double> scores =
      score_choices(*model, prompt, TokenTrie(many), Precision::kFp32, 39);
  for (size_t i = 0; i < many.size(); i += 37) {
    EXPECT_NEAR(scores[i], full_prefix_score(*model, prompt.tokens, many[i]), 1e-4);
  }
}

TEST(Choices, ScoresOfASetThatCoversEverythingSumToOne) {
  const auto model = random_model(33);
  std::vector<std::vector<TokenId>> all;
  for (TokenId a = 0; a < kTestMask; ++a) all.push_back({a});
  double sum = 0;
  for (const double s :
       score_choices(*model, {{4, 5}}, TokenTrie(all), Precision::kFp32, kTestMask))
    sum += std::exp(s);
  EXPECT_NEAR(sum, 1, 1e-5);
}

TEST(Choices, AConstrainedTextIsAMemberInEveryMode) {
  const auto model = random_model(34, 2);
  const TokenTrie trie(labels());
  for (const double temperature : {0.0, 1.0}) {
    GenerateOptions options;
    options.constraint = &trie;
    options.stop = {0};
    options.temperature = temperature;
    options.block = 4;
    std::vector<Prompt> prompts = random_prompts(100, 35);
    for (size_t i = 0; i < prompts.size(); ++i) prompts[i].stream = i;
    const auto batch = generate_all(DecodeMode::kAutoregressive, *model, prompts, options);
    for (size_t i = 0; i < prompts.size(); ++i) {
      const auto& members = trie.members();
      EXPECT_NE(std::find(members.begin(), members.end(), batch[i].tokens), members.end());
      EXPECT_TRUE(batch[i].stopped);
      EXPECT_EQ(
          make_decoder(DecodeMode::kSpeculative, *model)->generate(prompts[i], options).tokens,
          batch[i].tokens);
    }
  }
}

TEST(Choices, GreedyTakesTheMostProbableTokenOfThoseAllowed) {
  const auto model = random_model(36);
  const TokenTrie trie({{3}, {14}, {25}});
  GenerateOptions options;
  options.constraint = &trie;
  for (const Prompt& prompt : random_prompts(50, 37)) {
    const std::vector<float> logits = full_prefix_logits(*model, prompt.tokens);
    const TokenId best = logits[3] > logits[14] ? (logits[3] > logits[25] ? 3 : 25)
                                                : (logits[14] > logits[25] ? 14 : 25);
    EXPECT_EQ(make_decoder(DecodeMode::kAutoregressive, *model)->generate(prompt, options).tokens,
              std::vector<TokenId>{best});
  }
}

TEST(Choices, RefuseSetsThatCannotBeWritten) {
  EXPECT_THROW(TokenTrie(std::vector<std::vector<TokenId>>{}), Error);
  EXPECT_THROW(TokenTrie({{1}, {}}), Error);
  EXPECT_THROW(TokenTrie({{1, -2}}), Error);
  EXPECT_THROW(TokenTrie({{1, 2}, {3}, {1, 2}}), Error);
  const auto model = random_model(38);
  const auto refuses = [&](std::vector<std::vector<TokenId>> members) {
    const TokenTrie trie(std::move(members));
    GenerateOptions options;
    options.constraint = &trie;
    options.max_tokens = 4;
    try {
      make_decoder(DecodeMode::kAutoregressive, *model)->generate({{1}}, options);
    } catch (const Error& error) {
      return error.code() == ErrorCode::kInvalidArgument;
    }
    return false;
  };
  EXPECT_TRUE(refuses({{1, kTestMask}}));
  EXPECT_TRUE(refuses({{kTestVocabulary}}));
  EXPECT_TRUE(refuses({{1, 2, 3, 4, 5}}));
  EXPECT_TRUE(refuses({{1}, {1, 2}}));  // nothing says where to end
  const TokenTrie trie(labels());
  GenerateOptions options;
  options.constraint = &trie;
  EXPECT_THROW(make_decoder(DecodeMode::kDiffusion, *model)->generate({{1}}, options), Error);
  EXPECT_THROW(
      score_choices(*model, {{1}}, TokenTrie(std::vector<std::vector<TokenId>>{{kTestMask}}),
                    Precision::kFp32),
      Error);
}

}  // namespace
}  // namespace alambic
