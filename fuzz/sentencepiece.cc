// A SentencePiece model, after four bytes that give its length, then a text: neither may do harm; a
// model that loads must also survive its own export.
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "alambic/base/error.h"
#include "alambic/text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using alambic::Tokenizer;
  uint32_t length = 0;
  if (size < sizeof length) return 0;
  std::memcpy(&length, data, sizeof length);
  const std::string_view input(reinterpret_cast<const char*>(data) + 4, size - 4);
  const std::string_view model = input.substr(0, length), text = input.substr(model.size());
  try {
    const auto tokenizer = Tokenizer::from_sentencepiece(std::as_bytes(std::span(model)), "fuzz");
    const auto ids = tokenizer.encode(text);
    for (const alambic::TokenId id : ids) ALAMBIC_CHECK(id >= 0 && id < tokenizer.vocab_size());
    tokenizer.decode(ids);
    const Tokenizer again = Tokenizer::from_json(tokenizer.to_json(), "saved");
    ALAMBIC_CHECK(again.hash() == tokenizer.hash());
    ALAMBIC_CHECK(again.encode(text) == ids);
  } catch (const alambic::Error&) {
    // Refusing is an answer.
  }
  return 0;
}
