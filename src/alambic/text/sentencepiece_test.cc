#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/text/charsmap.h"
#include "alambic/text/tokenizer.h"

namespace alambic {
namespace {

// Spells messages of the wire format.
std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 128; value >>= 7) out += static_cast<char>(value | 128);
  return out + static_cast<char>(value);
}
std::string number(uint64_t field, uint64_t value) { return varint(field << 3) + varint(value); }
std::string bytes(uint64_t field, const std::string& content) {
  return varint(field << 3 | 2) + varint(content.size()) + content;
}
std::string real(uint64_t field, float value) {
  std::string out = varint(field << 3 | 5);
  return out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
std::string piece(const std::string& text, float score, uint64_t kind = 1) {
  return bytes(1, bytes(1, text) + real(2, score) + number(3, kind));
}

Tokenizer load(const std::string& model) {
  return Tokenizer::from_sentencepiece(std::as_bytes(std::span(model)), "x.model");
}

std::string refusal_of(const std::string& model) {
  try {
    load(model);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

const std::string kUnknown = piece("<unk>", 0, 2);

TEST(SentencePiece, KindsOfPiecesMeanWhatTheyAreFor) {
  const Tokenizer tokenizer =
      load(kUnknown + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("▁a", -1) + piece("a", -2) +
           piece("b", -3) + piece("ab", -1, 5) + piece("<x>", 0, 4) + bytes(2, number(3, 1)));
  // The unused piece is passed over, the user's own is whole, a capital is unknown.
  EXPECT_EQ(tokenizer.encode("a ab<x>"), (std::vector<TokenId>{3, 3, 5, 7}));
  EXPECT_EQ(tokenizer.encode("aQQ"), (std::vector<TokenId>{3, 0}));
  EXPECT_TRUE(tokenizer.is_special(1));
  EXPECT_FALSE(tokenizer.is_special(7));
  EXPECT_EQ(tokenizer.eos(), 2);
  EncodeOptions plain;
  plain.parse_special = false;
  EXPECT_EQ(tokenizer.encode("a</s>", plain), (std::vector<TokenId>{3, 0}));
}

TEST(SentencePiece, BrokenModelsAreRefusedWithTheReason) {
  EXPECT_EQ(refusal_of(kUnknown + piece("a", -1)), "accepted");
  const struct {
    std::string model, reason;
  } cases[] = {
      {"", "no pieces"},
      {"hello, world", "wire type"},
      {piece("a", -1), "unknown kind"},
      {kUnknown + piece("a", -1, 9), "got 9, want 1 to 6"},
      {kUnknown + piece("\xFF", -1), "no UTF-8"},
      {kUnknown + piece("a", NAN), "finite"},
      {kUnknown + varint(1 << 3 | 2) + varint(uint64_t{1} << 60), "truncated"},
      {kUnknown + std::string(11, '\xFF'), "64 bits"},
      {kUnknown + bytes(1, number(1, 5)), "want bytes"},
      {kUnknown + bytes(2, number(3, 4)), "model type; got 4"},
      {kUnknown + bytes(2, number(24, 1)), "end with their space"},
      {kUnknown + bytes(3, bytes(2, "\xFF\xFF\xFF\xFF")), "character map"},
      {kUnknown + piece(std::string(600, 'a'), -1) + bytes(2, number(3, 2)), "600 bytes"},
  };
  for (const auto& item : cases) {
    const std::string got = refusal_of(item.model);
    EXPECT_NE(got.find(item.reason), std::string::npos) << item.reason << ": " << got;
    EXPECT_TRUE(got.starts_with("[x.model")) << got;
  }
}

TEST(SentencePiece, EveryTruncationOfAGoodModelLoadsOrIsRefused) {
  const std::string whole = read_file(ALAMBIC_GOLDEN_DIR "/tokenizer_spm_unigram.model");
  for (size_t size = 0; size < whole.size(); ++size) refusal_of(whole.substr(0, size));
}

TEST(Charsmap, LinksOutOfTheTrieMatchNothing) {
  std::string blob(4, '\0');
  const uint32_t size = 64, wild = 0xFFFFFFFF;
  std::memcpy(blob.data(), &size, sizeof size);
  for (int i = 0; i < 16; ++i) blob.append(reinterpret_cast<const char*>(&wild), sizeof wild);
  const Charsmap map(blob, "test");
  EXPECT_EQ(map.map_longest("any text é\xFF"), "any text é\xFF");
  EXPECT_EQ(map.map_graphemes("any text é\xFF\r\n"), "any text é\xFF\r\n");
}

}  // namespace
}  // namespace alambic
