#include "alambic/distill/byte_match.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

constexpr const char* kText = "the cat sat on the mat, été";

ByteVocabulary vocabulary(int size = 300) {
  const std::vector<std::string> texts{kText, "the cat the cat", "sat on on mat mat"};
  BpeTrainOptions options;
  options.vocab_size = size;
  options.special_tokens = {"<|endoftext|>"};
  return ByteVocabulary(train_bpe(texts, options));
}

std::vector<TokenId> encode(const ByteVocabulary& v, std::string_view text) {
  return v.tokenizer().encode(text, {.special_prefix = false, .parse_special = false});
}

// What an endpoint with this vocabulary would send: each token at 0.6, two others at 0.2 and 0.1.
std::vector<EndpointToken> written_by(const ByteVocabulary& v, std::string_view text) {
  std::vector<EndpointToken> tokens;
  for (const TokenId id : encode(v, text)) {
    EndpointToken& token = tokens.emplace_back();
    token.chosen = {v.tokenizer().token_bytes(id), true, std::log(0.6)};
    token.top = {token.chosen, {"q", true, std::log(0.2)}, {"<|endoftext|>", true, std::log(0.1)}};
  }
  return tokens;
}

TEST(ByteMatch, TheSameVocabularyMatchesEveryToken) {
  const ByteVocabulary v = vocabulary();
  const MatchedAnswer matched = match_answer(v, kText, kText, written_by(v, kText), 3);
  EXPECT_EQ(matched.tokens, encode(v, kText));
  ASSERT_EQ(matched.signals.size(), matched.tokens.size());
  EXPECT_EQ(matched.matched, static_cast<int64_t>(matched.tokens.size()));
  for (size_t i = 0; i < matched.signals.size(); ++i) {
    const TokenSignal& s = matched.signals[i];
    ASSERT_EQ(s.ids.size(), 3U);
    EXPECT_TRUE(std::is_sorted(s.ids.begin(), s.ids.end()));
    const auto own = std::find(s.ids.begin(), s.ids.end(), matched.tokens[i]) - s.ids.begin();
    EXPECT_NEAR(s.probabilities[static_cast<size_t>(own)], 0.6, 1e-6);
    EXPECT_NEAR(s.tail, 0.1, 1e-6);
  }
}

TEST(ByteMatch, FewerAlternativesGoToTheTail) {
  const ByteVocabulary v = vocabulary();
  const MatchedAnswer matched = match_answer(v, kText, kText, written_by(v, kText), 1);
  EXPECT_EQ(matched.signals[0].ids, (std::vector<TokenId>{matched.tokens[0]}));
  EXPECT_NEAR(matched.signals[0].tail, 0.4, 1e-6);
}

TEST(ByteMatch, AnotherVocabularyMatchesOnlyWhereBothCutAtTheSameBytes) {
  const ByteVocabulary student = vocabulary(), teacher = vocabulary(262);
  const std::vector<EndpointToken> written = written_by(teacher, kText);
  const MatchedAnswer matched = match_answer(student, kText, kText, written, 3);
  ASSERT_EQ(matched.tokens, encode(student, kText));
  EXPECT_GT(matched.matched, 0);
  EXPECT_LT(matched.matched, static_cast<int64_t>(matched.tokens.size()));
  // Reference: the byte ranges of the endpoint's tokens.
  std::vector<std::pair<size_t, size_t>> spans;
  size_t at = 0;
  for (const EndpointToken& token : written) {
    spans.emplace_back(at, at + token.chosen.bytes.size());
    at = spans.back().second;
  }
  at = 0;
  for (size_t i = 0; i < matched.tokens.size(); ++i) {
    const size_t end = at + student.tokenizer().token_bytes(matched.tokens[i]).size();
    const bool same = std::find(spans.begin(), spans.end(), std::pair(at, end)) != spans.end();
    EXPECT_EQ(!matched.signals[i].ids.empty(), same) << i;
    at = end;
  }
}

TEST(ByteMatch, AnAlternativeThatIsNoTokenOfTheStudentLeavesThePositionEmpty) {
  const ByteVocabulary v = vocabulary();
  std::vector<EndpointToken> written = written_by(v, kText);
  written[1].top[1].bytes = "quite unknown";
  const MatchedAnswer matched = match_answer(v, kText, kText, written, 3);
  EXPECT_TRUE(matched.signals[1].ids.empty());
  EXPECT_FALSE(matched.signals[2].ids.empty());
}

TEST(ByteMatch, AnAlternativeWhoseBytesNobodyKnowsIsTail) {
  const ByteVocabulary v = vocabulary();
  std::vector<EndpointToken> written = written_by(v, kText);
  written[1].top[1] = {"\xEF\xBF\xBD", false, std::log(0.2)};
  const MatchedAnswer matched = match_answer(v, kText, kText, written, 3);
  EXPECT_EQ(matched.signals[1].ids.size(), 2U);
  EXPECT_NEAR(matched.signals[1].tail, 0.3, 1e-6);
}

TEST(ByteMatch, WhatIsNoDistributionIsNotStored) {
  const ByteVocabulary v = vocabulary();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double bad : {1.0, nan, std::log(0.9)}) {
    std::vector<EndpointToken> written = written_by(v, kText);
    for (EndpointToken& token : written) token.top[1].log_probability = bad;
    EXPECT_EQ(match_answer(v, kText, kText, written, 3).matched, 0) << bad;
  }
  std::vector<EndpointToken> twice = written_by(v, kText);
  for (EndpointToken& token : twice) token.top[1].bytes = token.top[2].bytes;
  EXPECT_EQ(match_answer(v, kText, kText, twice, 3).matched, 0);
}

TEST(ByteMatch, TokensThatSpellAnotherTextMatchNothing) {
  const ByteVocabulary v = vocabulary();
  EXPECT_EQ(match_answer(v, "a dog", "a dog", written_by(v, kText), 3).matched, 0);
  EXPECT_EQ(match_answer(v, kText, kText, {}, 3).matched, 0);
}

TEST(ByteMatch, AnAnswerBehindReasoningIsFoundAtItsPlace) {
  const ByteVocabulary v = vocabulary();
  std::vector<EndpointToken> written = written_by(v, "on mat");
  const size_t reasoning = written.size();
  for (EndpointToken& token : written_by(v, kText)) written.push_back(std::move(token));
  const std::string stored = std::string("<think>\non mat\n</think>\n\n") + kText;
  const MatchedAnswer matched = match_answer(v, stored, kText, written, 3);
  EXPECT_GT(matched.matched, 0);
  EXPECT_LE(matched.matched, static_cast<int64_t>(written.size() - reasoning));
  EXPECT_TRUE(matched.signals.front().ids.empty());
  EXPECT_FALSE(matched.signals.back().ids.empty());
}

}  // namespace
}  // namespace alambic
