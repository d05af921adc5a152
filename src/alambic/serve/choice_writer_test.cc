#include "alambic/serve/choice_writer.h"

#include <gtest/gtest.h>

#include "alambic/serve/test_service.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

TEST(StopFilter, HoldsBackWhatMayBecomeAStopString) {
  StopFilter filter({"END", "\n\n"});
  EXPECT_EQ(filter.push("one E"), "one ");
  EXPECT_EQ(filter.push("N"), "");
  EXPECT_EQ(filter.push("T\n"), "ENT");
  EXPECT_EQ(filter.finish(), "\n");
}

TEST(StopFilter, NothingFollowsAStopString) {
  StopFilter filter({"END"});
  EXPECT_EQ(filter.push("one END two"), "one ");
  EXPECT_TRUE(filter.stopped());
  EXPECT_EQ(filter.push("three"), "");
  EXPECT_EQ(filter.finish(), "");
}

// The text up to the first character that completes a stop string, without the longest one that
// ends there.
std::string cut_by_hand(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (text.substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
    }
    if (longest > 0) return text.substr(0, end - longest);
  }
  return text;
}

TEST(StopFilter, CharacterByCharacterItCutsWhereASearchOfTheWholeTextDoes) {
  Rng rng(5);
  const auto random_text = [&](uint64_t length) {
    std::string text;
    for (uint64_t i = 0; i < length; ++i) text += static_cast<char>('a' + rng.below(2));
    return text;
  };
  for (int round = 0; round < 2000; ++round) {
    const std::string text = random_text(rng.below(20));
    const std::vector<std::string> stops{random_text(1 + rng.below(6)), random_text(3)};
    StopFilter filter(stops);
    std::string got;
    for (const char c : text) got += filter.push(std::string(1, c));
    got += filter.finish();
    ASSERT_EQ(got, cut_by_hand(text, stops)) << text << " " << stops[0] << " " << stops[1];
  }
}

TEST(ChoiceWriter, PiecesAndRecordsJoinedAreTheDecodedText) {
  const Tokenizer tokenizer = small_tokenizer();
  const std::string text = "the €uro été fox";
  const std::vector<TokenId> tokens = tokenizer.encode(text);
  ChoiceWriter writer(tokenizer, {"nowhere"}, {});
  std::string joined, bytes;
  std::vector<int64_t> offsets;
  const auto take = [&](const AnswerPiece& piece) {
    joined += piece.text;
    EXPECT_EQ(to_valid_utf8(piece.text), piece.text);
    for (const TokenRecord& record : piece.tokens) {
      bytes += record.bytes;
      offsets.push_back(record.offset);
    }
  };
  for (const TokenId token : tokens) take(writer.push({token, -1, {}}));
  take(writer.finish());
  EXPECT_EQ(joined, text);
  EXPECT_EQ(bytes, text);
  ASSERT_EQ(offsets.size(), tokens.size());
  EXPECT_TRUE(std::is_sorted(offsets.begin(), offsets.end()));
  EXPECT_LT(offsets.back(), count_characters(text));
}

TEST(ChoiceWriter, RecordsOfTokensBehindAStopStringAreLeftOut) {
  const Tokenizer tokenizer = small_tokenizer();
  ChoiceWriter writer(tokenizer, {"x"}, {});
  size_t records = 0;
  for (const TokenId token : tokenizer.encode("abxcd")) {
    if (writer.stopped()) break;
    records += writer.push({token, -1, {}}).tokens.size();
  }
  records += writer.finish().tokens.size();
  EXPECT_EQ(records, tokenizer.encode("ab").size());
}

TEST(ChoiceWriter, ACharacterThatNeverEndsBecomesAReplacement) {
  const Tokenizer tokenizer = small_tokenizer();
  ChoiceWriter writer(tokenizer, {}, {});
  std::string joined;
  for (const TokenId token : tokenizer.encode("a\xE2\x82")) joined += writer.push({token}).text;
  EXPECT_EQ(joined, "a");
  EXPECT_EQ(writer.finish().text, "\xEF\xBF\xBD");
}

}  // namespace
}  // namespace alambic
