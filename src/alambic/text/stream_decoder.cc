#include <utility>

#include "alambic/text/tokenizer.h"
#include "alambic/text/unicode.h"

namespace alambic {

std::string StreamDecoder::push(TokenId id) { return push(std::span<const TokenId>(&id, 1)); }

std::string StreamDecoder::push(std::span<const TokenId> ids) {
  for (const TokenId id : ids) {
    if (skip_special_ && tokenizer_.is_special(id)) continue;
    // Decoding together with the token before it gives the spaces that the whole text would have
    // there.
    context_.push_back(id);
    std::string text = tokenizer_.decode(context_, skip_special_);
    if (text.size() <= context_text_.size()) continue;
    pending_.append(text, context_text_.size());
    const std::span<const TokenId> last(&context_.back(), 1);
    std::string last_text = tokenizer_.decode(last, skip_special_);
    if (last_text.empty()) {
      context_text_ = std::move(text);
    } else {
      context_ = {id};
      context_text_ = std::move(last_text);
    }
  }
  const size_t waiting = incomplete_utf8_suffix(pending_);
  std::string out = to_valid_utf8(std::string_view(pending_).substr(0, pending_.size() - waiting));
  pending_.erase(0, pending_.size() - waiting);
  return out;
}

std::string StreamDecoder::finish() {
  context_.clear();
  context_text_.clear();
  return to_valid_utf8(std::exchange(pending_, {}));
}

}  // namespace alambic
