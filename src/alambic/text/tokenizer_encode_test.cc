// Where bytes of a text fall among its tokens, for every kind of vocabulary.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "alambic/text/tokenizer.h"

namespace alambic {
namespace {

const std::string kTexts[] = {"Hello, world! This is  a test.",
                              "Caf\xC3\xA9 na\xC3\xAFve \xE4\xBD\xA0\xE5\xA5\xBD 123 4567",
                              "  leading and trailing  ",
                              "line\nline\n\nline\ttab",
                              "e\xCC\x81 composed, \xF0\x9F\x98\x80 emoji",
                              "Once upon a time there was a dog."};

class Seams : public testing::TestWithParam<const char*> {
 protected:
  const Tokenizer tokenizer_ =
      Tokenizer::load(std::string(ALAMBIC_GOLDEN_DIR "/tokenizer_") + GetParam());
};

TEST_P(Seams, AskingForThemChangesNoId) {
  for (const std::string& text : kTexts) {
    const std::vector<size_t> cuts{0, 1, text.size() / 2, text.size()};
    std::vector<TokenSeam> seams;
    EXPECT_EQ(tokenizer_.encode(text, {}, cuts, seams), tokenizer_.encode(text)) << text;
    EXPECT_EQ(seams.size(), cuts.size());
  }
}

// Tokens before the seam are what the text before it holds, those behind what follows: both
// decoded and joined are the text, and a seam within a token has it on neither side alone.
TEST_P(Seams, CutTheTokensWhereTheTextIsCut) {
  for (const std::string& text : kTexts) {
    std::vector<size_t> cuts;
    for (size_t i = 0; i <= text.size(); ++i) {
      if (i == text.size() || (static_cast<uint8_t>(text[i]) & 0xC0) != 0x80) cuts.push_back(i);
    }
    std::vector<TokenSeam> seams;
    const auto ids = tokenizer_.encode(text, {.special_prefix = false}, cuts, seams);
    ASSERT_EQ(seams.size(), cuts.size());
    size_t last = 0;
    for (size_t i = 0; i < cuts.size(); ++i) {
      EXPECT_LE(last, seams[i].token) << text << " " << cuts[i];
      EXPECT_LE(seams[i].token, ids.size());
      last = seams[i].token;
    }
    EXPECT_EQ(seams.front().token, 0U);
    EXPECT_FALSE(seams.front().inside);
    // A text that is cut between words has the words' own tokens before the seam.
    for (size_t i = 1; i + 1 < cuts.size(); ++i) {
      if (text[cuts[i]] != ' ' || text[cuts[i] - 1] == ' ' || text[0] == ' ') continue;
      const auto before = tokenizer_.encode(text.substr(0, cuts[i]), {.special_prefix = false});
      EXPECT_EQ(seams[i].token, before.size()) << text << " " << cuts[i];
      EXPECT_FALSE(seams[i].inside) << text << " " << cuts[i];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Seams,
                         testing::Values("byte_level.json", "metaspace.json", "unigram.json",
                                         "wordpiece.json", "words.json", "affixes.json",
                                         "digits.json", "spm_bpe.model", "spm_unigram.model"),
                         [](const auto& test) {
                           std::string name = test.param;
                           return name.substr(0, name.find('.'));
                         });

TEST(PlainBytes, NoSpecialTokenIsFoundOnThem) {
  const Tokenizer tokenizer =
      Tokenizer::load(ALAMBIC_GOLDEN_DIR "/tokenizer_byte_level.json").with_special("<|end|>");
  const TokenId end = *tokenizer.find("<|end|>");
  const std::string text = "a<|end|>b<|end|>";
  for (size_t byte = 0; byte < text.size(); ++byte) {
    const std::vector<size_t> plain{byte};
    const auto ids = tokenizer.encode(text, {.special_prefix = false, .plain = plain});
    const auto count = std::count(ids.begin(), ids.end(), end);
    EXPECT_EQ(count, text[byte] == 'a' || text[byte] == 'b' ? 2 : 1) << byte;
    EXPECT_EQ(tokenizer.decode(ids, false), text);
  }
}

}  // namespace
}  // namespace alambic
