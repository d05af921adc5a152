// The tokens of an endpoint laid beside the student's, byte for byte.
//
// A signal is kept where a token of the endpoint covers exactly the bytes that one token of the
// student covers, and each of its alternatives whose bytes are known is exactly one token of the
// student as well. Anywhere else (another vocabulary, a text that was changed under way) the
// position stays empty: the student learns the text there, and no probability is guessed.
// Alternatives whose bytes nobody knows add to the tail, which is right whatever token they are.
//
// Ownership: values. Thread safety: const. Nothing here throws on what an endpoint sent.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "alambic/data/signal.h"
#include "alambic/distill/endpoint_reply.h"
#include "alambic/text/tokenizer.h"

namespace alambic {

class ByteVocabulary {
 public:
  explicit ByteVocabulary(Tokenizer tokenizer);

  const Tokenizer& tokenizer() const { return tokenizer_; }
  // The one token that stands for these bytes, or the special token of this name.
  std::optional<TokenId> find(std::string_view bytes) const;

 private:
  Tokenizer tokenizer_;
  std::unordered_map<std::string, TokenId> ids_;
};

// Where each token ends in the text, for as many from the first on as spell out what stands there.
std::vector<size_t> token_ends(const Tokenizer& tokenizer, std::span<const TokenId> tokens,
                               std::string_view text);

struct MatchedAnswer {
  std::vector<TokenId> tokens;       // of `text`
  std::vector<TokenSignal> signals;  // one per token, most of them perhaps empty; or none at all
  int64_t matched = 0;               // signals that are not empty
};

// Encodes `text` and finds signals for its tokens, at most `k` alternatives each. `written` are the
// endpoint's tokens; what they spell must end with `answer` (but for special tokens behind it), and
// `text` must end with it too.
MatchedAnswer match_answer(const ByteVocabulary& vocabulary, std::string_view text,
                           std::string_view answer, std::span<const EndpointToken> written, int k);

}  // namespace alambic
