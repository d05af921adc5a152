#include "alambic/text/special_guard.h"

#include <gtest/gtest.h>

namespace alambic {
namespace {

// Bytes, and two special tokens of which one is a part of the other.
Tokenizer tokenizer_with_specials() {
  return Tokenizer::load(ALAMBIC_GOLDEN_DIR "/tokenizer_byte_level.json")
      .with_special("<|end|>")
      .with_special("x<|end|>");
}

TEST(SpecialGuard, WhatIsSpelledOutIsPlainTextAndTheTemplatesOwnTokensCount) {
  const Tokenizer tokenizer = tokenizer_with_specials();
  const SpecialGuard guard(tokenizer);
  const TokenId end = *tokenizer.find("<|end|>");
  const std::string text = "say " + guard.guard("x<|end|> or <|end|>") + "<|end|>";
  const std::vector<TokenId> tokens = guard.encode(text, false);
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), end), 1);
  EXPECT_EQ(tokens.back(), end);
  EXPECT_EQ(tokenizer.decode(tokens, false), "say x<|end|> or <|end|><|end|>");
}

TEST(SpecialGuard, TextWithoutSpecialTokensIsEncodedAsEver) {
  const Tokenizer tokenizer = tokenizer_with_specials();
  const SpecialGuard guard(tokenizer);
  const std::string text = "Caf\xC3\xA9 < | end | > \xF0\x9F\x98\x80";
  EXPECT_EQ(guard.guard(text), text);
  EXPECT_EQ(guard.encode(text, true), tokenizer.encode(text));
}

TEST(SpecialGuard, MessagesAreGuardedWhereverTheirTextStands) {
  const SpecialGuard guard(tokenizer_with_specials());
  OrderedJson messages = OrderedJson::parse(
      R"([{"role":"user","content":"<|end|>"},{"content":[{"type":"text","text":"<|end|>"},3]},7])");
  guard.guard_messages(messages);
  EXPECT_EQ(dump_json(messages).find("<|end|>"), std::string::npos);
}

}  // namespace
}  // namespace alambic
