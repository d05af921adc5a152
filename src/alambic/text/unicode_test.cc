#include "alambic/text/unicode.h"

#include <gtest/gtest.h>

#include <set>

namespace alambic {
namespace {

TEST(Utf8, EveryCharacterComesBack) {
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    std::string text;
    append_utf8(text, code);
    const Utf8Step step = decode_utf8(text, 0);
    ASSERT_TRUE(step.valid && step.code == code && step.length == text.size()) << uint32_t{code};
  }
}

TEST(Utf8, IllFormedSequencesBecomeOneMarkForEachMaximalPart) {
  // The examples of the Unicode standard, section 3.9, table 3-8 onwards.
  EXPECT_EQ(to_valid_utf8("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64"),
            "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
            "b\xEF\xBF\xBD"
            "c\xEF\xBF\xBD\xEF\xBF\xBD"
            "d");
  EXPECT_EQ(to_valid_utf8("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD");                  // overlong
  EXPECT_EQ(to_valid_utf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // surrogate
}

TEST(Utf8, UnfinishedSuffixIsFoundAndBrokenOneIsNot) {
  EXPECT_EQ(incomplete_utf8_suffix("abc"), 0u);
  EXPECT_EQ(incomplete_utf8_suffix("abc\xC3"), 1u);
  EXPECT_EQ(incomplete_utf8_suffix("\xE2\x82"), 2u);
  EXPECT_EQ(incomplete_utf8_suffix("\xF0\x9F\x98"), 3u);
  EXPECT_EQ(incomplete_utf8_suffix("\xF0\x9F\x98\x80"), 0u);
  EXPECT_EQ(incomplete_utf8_suffix("\x80"), 0u);
  EXPECT_EQ(incomplete_utf8_suffix("\xE0\x80"), 0u);  // overlong: will never be a character
  EXPECT_EQ(incomplete_utf8_suffix("\xFF"), 0u);
}

TEST(ByteAlphabet, IsOneToOne) {
  std::set<char32_t> seen;
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t code = byte_to_char(static_cast<uint8_t>(byte));
    EXPECT_EQ(char_to_byte(code), byte);
    seen.insert(code);
  }
  EXPECT_EQ(seen.size(), 256u);
  EXPECT_EQ(bytes_to_chars(" a\n"), "\u0120a\u010A");
  EXPECT_EQ(char_to_byte(0x144), -1);
}

TEST(Normalization, ComposesAndKeepsBrokenBytes) {
  EXPECT_EQ(normalize_unicode("e\u0301\xFF e\u0301", NormalForm::kNfc), "\u00e9\xFF \u00e9");
  EXPECT_EQ(normalize_unicode("\u00e9", NormalForm::kNfd), "e\u0301");
  EXPECT_EQ(normalize_unicode("\ufb01\u2460", NormalForm::kNfkc), "fi1");
  EXPECT_EQ(lowercase("\u0130\u00C9\xFFX"), "i\u0307\u00e9\xFFx");
}

}  // namespace
}  // namespace alambic
