// A GGUF file as a vocabulary: its keys may not do harm; a vocabulary that loads must also survive
// its own export. The file's name for itself serves as the text to encode.
#include <cstdint>
#include <span>
#include <string>

#include "alambic/base/error.h"
#include "alambic/formats/gguf.h"
#include "alambic/text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using alambic::Tokenizer;
  try {
    const auto file = alambic::GgufFile::parse(std::as_bytes(std::span(data, size)), "fuzz");
    const auto tokenizer = Tokenizer::from_gguf(file, "fuzz");
    const std::string text(file.optional<std::string_view>("general.name", "a b"));
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
