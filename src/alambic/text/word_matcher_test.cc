#include "alambic/text/word_matcher.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "alambic/base/rng.h"
#include "alambic/text/pattern.h"
#include "alambic/text/published_patterns.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

std::vector<std::string> cut(const Pattern& pattern, const std::string& text) {
  std::vector<std::string> parts;
  pattern.for_each_match(
      text, [&](size_t begin, size_t end) { parts.push_back(text.substr(begin, end - begin)); });
  return parts;
}

// Short texts of what the expressions tell apart, so that runs, ends and backtracking all occur.
std::string random_text(Rng& rng) {
  static const std::vector<std::string> parts = {
      " ",    " ",    "  ",   "\n", "\r\n", "\t", "\u00a0", "\u3000", "▁",      "a",  "z", "É",
      "é",    "A",    "B",    "S",  "s",    "t",  "re",     "LL",     "ve",     "'",  "'", "\u2019",
      "ſ",    "K",    "ǅ",    "ʰ",  "中",   "か", "\u0301", "\u0903", "1",      "22", "٣", "½",
      "Ⅷ",    ".",    ",",    "/",  "-",    "_",  "$",      "😀",      "\u200d", "👩",  "𝔘", "𐐷",
      "\xFF", "\xC3", "\x01", "<",  "'s",   "'D", "'lL"};
  std::string text;
  for (uint64_t n = rng.below(14); n > 0; --n) text += parts[rng.below(parts.size())];
  return text;
}

class WordMatcher : public testing::TestWithParam<std::string_view> {};

// In a group the expression is not recognised, so PCRE2 runs it.
TEST_P(WordMatcher, CutsAsTheRegularExpressionDoes) {
  ASSERT_NE(find_word_matcher(GetParam()), nullptr);
  const Pattern fast = Pattern::regex(GetParam(), "test");
  const Pattern slow = Pattern::regex("(?:" + std::string(GetParam()) + ")", "test");
  Rng rng(17);
  for (int round = 0; round < 60000; ++round) {
    const std::string text = random_text(rng);
    ASSERT_EQ(cut(fast, text), cut(slow, text)) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Published, WordMatcher,
                         testing::Values(kGpt2Expression, kLlama3Expression, kCl100kExpression,
                                         kQwen2Expression, kQwen35Expression, kO200kExpression,
                                         kTekkenExpression));

class WordSearches : public testing::TestWithParam<std::string_view> {};

TEST_P(WordSearches, FindWhatTheRegularExpressionFinds) {
  ASSERT_NE(find_word_search(GetParam()), nullptr);
  const Pattern fast = Pattern::regex(GetParam(), "test");
  const Pattern slow = Pattern::regex("(?:" + std::string(GetParam()) + ")", "test");
  const auto spans = [](const Pattern& pattern, const std::string& text) {
    std::vector<std::pair<size_t, size_t>> found;
    pattern.for_each_match(text, [&](size_t begin, size_t end) { found.emplace_back(begin, end); });
    return found;
  };
  Rng rng(18);
  for (int round = 0; round < 60000; ++round) {
    const std::string text = random_text(rng);
    ASSERT_EQ(spans(fast, text), spans(slow, text)) << text;
  }
}

// Every character that PCRE2's edition of Unicode knows, alone and between others.
TEST_P(WordSearches, AgreeOnEveryCharacter) {
  const Pattern fast = Pattern::regex(GetParam(), "test");
  const Pattern slow = Pattern::regex("(?:" + std::string(GetParam()) + ")", "test");
  const Pattern unassigned = Pattern::regex(R"(\p{Cn})", "test");
  for (char32_t code = 0; code < 0x30000; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    std::string text;
    append_utf8(text, code);
    if (!cut(unassigned, text).empty()) continue;
    text += "a ";
    append_utf8(text, code);
    text += "1!";
    append_utf8(text, code);
    ASSERT_EQ(cut(fast, text), cut(slow, text)) << "U+" << std::hex << uint32_t{code};
  }
}

INSTANTIATE_TEST_SUITE_P(Published, WordSearches,
                         testing::Values(kLineBreakExpression, kLineBreakEscapes,
                                         kSpacedLettersExpression, kSpacedPunctuationExpression,
                                         kDeepSeekCoderScripts, kThreeDigitsExpression,
                                         kDeepSeek3Scripts, kDeepSeek3Expression,
                                         kManySpacesExpression, kOuterSpacesExpression));

TEST(WordMatcher, UnknownExpressionHasNone) {
  EXPECT_EQ(find_word_matcher(R"(\w+)"), nullptr);
  EXPECT_EQ(find_word_search(R"(\w+)"), nullptr);
}

}  // namespace
}  // namespace alambic
