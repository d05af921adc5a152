#include "alambic/serve/prompt_maker.h"

#include <algorithm>

#include "alambic/decode/prompting.h"
#include "alambic/serve/api_error.h"

namespace alambic {
PromptMaker::PromptMaker(Tokenizer tokenizer, ModelCard card, std::optional<ChatTemplate> chat)
    : tokenizer_(std::move(tokenizer)),
      guard_(tokenizer_),
      card_(std::move(card)),
      chat_(std::move(chat)) {
  for (TokenId id = 0; id < tokenizer_.vocab_size(); ++id)
    longest_token_ = std::max(longest_token_, tokenizer_.token_content(id).size());
}

std::vector<TokenId> PromptMaker::from_text(const std::string& text) const {
  std::vector<TokenId> tokens = tokenizer_.encode(text);
  if (!tokens.empty()) return tokens;
  const auto start = tokenizer_.bos() ? tokenizer_.bos() : tokenizer_.eos();
  if (!start)
    throw ApiError(400, "prompt: is empty, and this model has no beginning of text", "prompt");
  return {*start};
}

std::vector<TokenId> PromptMaker::from_prompt(const std::string& prompt) const {
  if (card_.prompt_template == ModelCard{}.prompt_template) return from_text(prompt);
  return guard_.encode(apply_template(card_, guard_.guard(prompt)), true);
}

size_t PromptMaker::prefix_tokens(const std::string& text) const {
  if (text.empty()) return from_text(text).size();
  const size_t bare = tokenizer_.encode(text, {.special_prefix = false}).size();
  const size_t whole = tokenizer_.encode(text).size();
  return whole - std::min(whole, bare);
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
  guard_.guard_messages(input.messages);
  // A chat template writes a beginning-of-text token itself where one belongs.
  std::vector<TokenId> tokens = chat_ ? guard_.encode(chat_->render(input), false)
                                      : guard_.encode(plain_chat(input.messages), true);
  if (tokens.empty()) return from_text("");
  return tokens;
}

}  // namespace alambic
