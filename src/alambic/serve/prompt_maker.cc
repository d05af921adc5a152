#include "alambic/serve/prompt_maker.h"

#include <algorithm>

#include "alambic/decode/prompting.h"
#include "alambic/serve/api_error.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

// Stand-ins for special tokens that a message spells out: characters of the last private plane,
// which no text is expected to hold, one for each special token.
constexpr char32_t kFirstStandIn = 0x100000;
constexpr size_t kMaxStandIns = 0xFFFE;

}  // namespace

PromptMaker::PromptMaker(Tokenizer tokenizer, ModelCard card, std::optional<ChatTemplate> chat)
    : tokenizer_(std::move(tokenizer)), card_(std::move(card)), chat_(std::move(chat)) {
  for (TokenId id = 0; id < tokenizer_.vocab_size(); ++id) {
    std::string content = tokenizer_.token_content(id);
    longest_token_ = std::max(longest_token_, content.size());
    if (!tokenizer_.is_special(id)) continue;
    if (!content.empty()) specials_.push_back(std::move(content));
  }
  std::stable_sort(specials_.begin(), specials_.end(),
                   [](const auto& a, const auto& b) { return a.size() > b.size(); });
  if (specials_.size() > kMaxStandIns) specials_.resize(kMaxStandIns);
}

std::vector<TokenId> PromptMaker::from_text(const std::string& text) const {
  std::vector<TokenId> tokens = tokenizer_.encode(text);
  if (!tokens.empty()) return tokens;
  const auto start = tokenizer_.bos() ? tokenizer_.bos() : tokenizer_.eos();
  if (!start)
    throw ApiError(400, "prompt: is empty, and this model has no beginning of text", "prompt");
  return {*start};
}

size_t PromptMaker::prefix_tokens(const std::string& text) const {
  if (text.empty()) return from_text(text).size();
  const size_t bare = tokenizer_.encode(text, {.special_prefix = false}).size();
  const size_t whole = tokenizer_.encode(text).size();
  return whole - std::min(whole, bare);
}

std::string PromptMaker::guarded(std::string text) const {
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

// Special tokens of the template count, those that a stand-in stands for do not.
std::vector<TokenId> PromptMaker::encode_guarded(const std::string& text, bool prefix) const {
  std::vector<TokenId> tokens;
  std::string piece;
  bool first = true;
  const auto flush = [&](bool parse_special) {
    const auto ids = tokenizer_.encode(
        piece, {.special_prefix = prefix && first, .parse_special = parse_special});
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    piece.clear();
    first = false;
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
  if (!piece.empty() || first) flush(true);
  return tokens;
}

std::string PromptMaker::plain_chat(const OrderedJson& messages) const {
  std::string joined;
  for (const auto& message : messages) {
    const auto content = message.at("content").get<std::string>();
    if (!joined.empty() && !content.empty()) joined += "\n\n";
    joined += content;
  }
  return apply_template(card_, joined);
}

std::vector<TokenId> PromptMaker::from_messages(const OrderedJson& messages,
                                                const OrderedJson& variables) const {
  ChatInput input{.messages = messages, .add_generation_prompt = true, .variables = variables};
  for (auto& message : input.messages) {
    message["content"] = guarded(message.at("content").get<std::string>());
  }
  // A chat template writes a beginning-of-text token itself where one belongs.
  std::vector<TokenId> tokens = chat_ ? encode_guarded(chat_->render(input), false)
                                      : encode_guarded(plain_chat(input.messages), true);
  if (tokens.empty()) return from_text("");
  return tokens;
}

}  // namespace alambic
