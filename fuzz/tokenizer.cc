// A tokenizer.json up to the first zero byte, then a text. Neither may do harm; a tokenizer that
// loads must also survive its own saving, and a plain byte-level one must give back every text.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "alambic/base/error.h"
#include "alambic/text/tokenizer.h"
#include "alambic/text/unicode.h"

namespace {

using alambic::StreamDecoder;
using alambic::TokenId;
using alambic::Tokenizer;

void demand(bool condition) {
  if (!condition) std::abort();
}

// Files that hold these words and nothing that rewrites or removes text are lossless.
bool lossless(std::string_view json, const Tokenizer& tokenizer) {
  for (const char* word : {"Split", "Metaspace", "Whitespace", "normalizer\"", "\"added_tokens",
                           "post_processor", "Replace", "Strip", "add_prefix_space\":true"}) {
    if (json.find(word) != json.npos) return false;
  }
  if (json.find("\"decoder\":{\"type\":\"ByteLevel\"") == json.npos ||
      json.find("\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false") ==
          json.npos) {
    return false;
  }
  for (int byte = 0; byte < 256; ++byte) {
    if (!tokenizer.find(alambic::bytes_to_chars(std::string(1, static_cast<char>(byte)))))
      return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t cut = std::min(input.find('\0'), input.size());
  const std::string_view json = input.substr(0, cut);
  const std::string_view text = input.substr(std::min(cut + 1, input.size()));
  try {
    const Tokenizer tokenizer = Tokenizer::from_json(json, "fuzz");
    const auto ids = tokenizer.encode(text);
    for (const TokenId id : ids) demand(id >= 0 && id < tokenizer.vocab_size());
    const std::string decoded = tokenizer.decode(ids, false);
    if (lossless(json, tokenizer)) demand(decoded == text);
    StreamDecoder stream(tokenizer);
    for (const TokenId id : ids) {
      const std::string piece = stream.push(id);
      demand(alambic::valid_utf8_prefix(piece) == piece.size());
      tokenizer.token_bytes(id);
    }
    stream.finish();
    const Tokenizer again = Tokenizer::from_json(tokenizer.to_json(), "saved");
    demand(again.hash() == tokenizer.hash());
    demand(again.encode(text) == ids);
  } catch (const alambic::Error&) {
    // Refusing is an answer.
  }
  return 0;
}
