#include "alambic/text/special_guard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace alambic {
namespace {

// Bytes, and two special tokens of which one is a part of the other.
Tokenizer tokenizer_with_specials() {
  return Tokenizer::load(ALAMBIC_GOLDEN_DIR "/tokenizer_byte_level.json")
      .with_special("<|end|>")
      .with_special("x<|end|>");
}

// The ids of `frame` with the data in place of "@", as a template would write it.
std::vector<TokenId> encode_framed(const Tokenizer& tokenizer, std::string frame,
                                   OrderedJson data) {
  const std::array<OrderedJson*, 1> parts{&data};
  const GuardedData guarded(SpecialGuard(tokenizer), parts);
  const size_t at = frame.find('@');
  frame.replace(at, 1, data.is_string() ? data.get<std::string>() : dump_json(data));
  std::vector<size_t> plain;
  guarded.restore(frame, {}, plain);
  return tokenizer.encode(frame, {.plain = plain});
}

TEST(SpecialGuard, WhatIsSpelledOutIsPlainTextAndTheTemplatesOwnTokensCount) {
  const Tokenizer tokenizer = tokenizer_with_specials();
  const TokenId end = *tokenizer.find("<|end|>");
  const auto tokens = encode_framed(tokenizer, "say @<|end|>", "x<|end|> or <|end|>");
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), end), 1);
  EXPECT_EQ(tokens.back(), end);
  EXPECT_EQ(tokenizer.decode(tokens, false), "say x<|end|> or <|end|><|end|>");
}

TEST(SpecialGuard, TextWithoutSpecialTokensIsEncodedAsEver) {
  const Tokenizer tokenizer = tokenizer_with_specials();
  const std::string text = "Caf\xC3\xA9 < | end | > \xF0\x9F\x98\x80";
  EXPECT_TRUE(SpecialGuard(tokenizer).breaks(text).empty());
  EXPECT_EQ(encode_framed(tokenizer, "@", text), tokenizer.encode(text));
}

TEST(SpecialGuard, PrivateCharactersOfTheDataStayWhatTheyAre) {
  const Tokenizer tokenizer = tokenizer_with_specials();
  const TokenId end = *tokenizer.find("<|end|>");
  std::string text = "a<|end|>b";
  for (const char* character : {"\xF3\xB0\x80\x80", "\xF4\x80\x80\x80", "\xF3\xB0\x80\x81"})
    text += character;
  const auto tokens = encode_framed(tokenizer, "@", text);
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), end), 0);
  EXPECT_EQ(tokenizer.decode(tokens, false), text);
}

TEST(SpecialGuard, NeitherPiecesNorCapitalsNorKeysMakeAToken) {
  const Tokenizer tokenizer = tokenizer_with_specials();
  const TokenId end = *tokenizer.find("<|end|>");
  // The template's text goes on where the data stops; what it trims does not help.
  for (const auto& tokens :
       {encode_framed(tokenizer, "@nd|>", "<|e"), encode_framed(tokenizer, "@nd|>", " <|e"),
        encode_framed(tokenizer, "@", OrderedJson{{"<|end|>", "x<|end|>"}})}) {
    EXPECT_EQ(std::count(tokens.begin(), tokens.end(), end), 0);
  }
  OrderedJson data = "<|END|>";
  const std::array<OrderedJson*, 1> parts{&data};
  const GuardedData guarded(SpecialGuard(tokenizer), parts);
  std::string text = data.get<std::string>();
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  std::vector<size_t> plain;
  guarded.restore(text, {}, plain);
  EXPECT_EQ(text, "<|end|>");
  const auto tokens = tokenizer.encode(text, {.plain = plain});
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), end), 0);
}

TEST(SpecialGuard, CutsMoveWithTheText) {
  const Tokenizer tokenizer = tokenizer_with_specials();
  OrderedJson data = "<|end|>ab";
  const std::array<OrderedJson*, 1> parts{&data};
  const GuardedData guarded(SpecialGuard(tokenizer), parts);
  std::string text = data.get<std::string>();
  ASSERT_EQ(text.size(), 12U);  // a stand-in of four bytes for one character
  std::vector<size_t> cuts{0, 4, 11, 12}, plain;
  guarded.restore(text, cuts, plain);
  EXPECT_EQ(cuts, (std::vector<size_t>{0, 1, 8, 9}));
  EXPECT_EQ(plain, std::vector<size_t>{0});
}

}  // namespace
}  // namespace alambic
