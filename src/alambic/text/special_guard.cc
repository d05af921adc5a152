#include "alambic/text/special_guard.h"

#include <algorithm>

#include "alambic/text/unicode.h"

namespace alambic {
namespace {

// Characters of the last private plane, which no text is expected to hold.
constexpr char32_t kFirstStandIn = 0x100000;
constexpr size_t kMostStandIns = 0xFFFE;

}  // namespace

SpecialGuard::SpecialGuard(Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)) {
  for (TokenId id = 0; id < tokenizer_.vocab_size(); ++id) {
    if (!tokenizer_.is_special(id)) continue;
    std::string content = tokenizer_.token_content(id);
    if (!content.empty()) specials_.push_back(std::move(content));
  }
  std::stable_sort(specials_.begin(), specials_.end(),
                   [](const auto& a, const auto& b) { return a.size() > b.size(); });
  if (specials_.size() > kMostStandIns) specials_.resize(kMostStandIns);
}

std::string SpecialGuard::guard(std::string text) const {
  for (size_t i = 0; i < specials_.size(); ++i) {
    if (text.find(specials_[i]) == std::string::npos) continue;
    std::string stand_in;
    append_utf8(stand_in, kFirstStandIn + static_cast<char32_t>(i));
    std::string out;
    size_t at = 0;
    for (size_t found; (found = text.find(specials_[i], at)) != std::string::npos;) {
      out.append(text, at, found - at).append(stand_in);
      at = found + specials_[i].size();
    }
    text = std::move(out.append(text, at));
  }
  return text;
}

void SpecialGuard::guard_messages(OrderedJson& messages) const {
  for (OrderedJson& message : messages) {
    const auto content = message.is_object() ? message.find("content") : message.end();
    if (!message.is_object() || content == message.end()) continue;
    if (content->is_string()) *content = guard(content->get<std::string>());
    if (!content->is_array()) continue;
    for (OrderedJson& part : *content) {
      const auto text = part.is_object() ? part.find("text") : part.end();
      if (part.is_object() && text != part.end() && text->is_string())
        *text = guard(text->get<std::string>());
    }
  }
}

std::vector<TokenId> SpecialGuard::encode(std::string_view text, bool special_prefix) const {
  std::vector<TokenId> tokens;
  std::string piece;
  const auto flush = [&](bool parse_special) {
    const auto ids = tokenizer_.encode(
        piece, {.special_prefix = special_prefix, .parse_special = parse_special});
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    piece.clear();
    special_prefix = false;
  };
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    const bool stand_in =
        step.valid && step.code >= kFirstStandIn && step.code - kFirstStandIn < specials_.size();
    if (stand_in) {
      if (!piece.empty()) flush(true);
      piece = specials_[step.code - kFirstStandIn];
      flush(false);
    } else {
      piece.append(text, at, step.length);
    }
    at += step.length;
  }
  if (!piece.empty() || special_prefix) flush(true);
  return tokens;
}

}  // namespace alambic
