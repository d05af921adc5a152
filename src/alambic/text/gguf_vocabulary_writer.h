// A tokenizer as the tokenizer.ggml.* keys of a GGUF file, for llama.cpp and for from_gguf().
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "Tokenizer".
// Ownership: plain values. Thread safety: stateless. Errors: kUnsupported where those keys cannot
// say what this tokenizer does.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "alambic/formats/gguf_writer.h"
#include "alambic/text/tokenizer.h"

namespace alambic {

struct GgufVocabularyOptions {
  int rows = 0;  // of the model: ids that the tokenizer does not use become unused tokens
  // Each ends a text, with the tokenizer's own eos. The keys can name three in all (eos, eot and
  // eom): more are kUnsupported.
  std::vector<TokenId> ends;
  std::string chat_template;      // "": none
  std::string tool_use_template;  // the one for conversations with tools; "": the same
};

// Byte-level BPE with a published way of cutting text, and BPE over "▁" with byte tokens. Of the
// latter, merges become scores, which is the same wherever a token is made by one merge only:
// compare encodings afterwards.
void write_gguf_vocabulary(const Tokenizer& tokenizer, const GgufVocabularyOptions& options,
                           std::string_view where, GgufMetadata& metadata);

}  // namespace alambic
