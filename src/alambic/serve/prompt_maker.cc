#include "alambic/serve/prompt_maker.h"

#include <algorithm>

#include "alambic/decode/prompting.h"
#include "alambic/serve/api_error.h"

namespace alambic {
namespace {

ModelCard without_chat_template(ModelCard card) {
  card.chat_template.clear();
  return card;
}

}  // namespace

PromptMaker::PromptMaker(Tokenizer tokenizer, ModelCard card, std::optional<ChatTemplate> chat)
    : tokenizer_(std::move(tokenizer)),
      guard_(tokenizer_),
      encoder_(tokenizer_, without_chat_template(std::move(card))),
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
  const std::string& frame = encoder_.card().prompt_template;
  return frame == ModelCard{}.prompt_template ? from_text(prompt) : encoder_.prompt(prompt);
}

size_t PromptMaker::prefix_tokens(const std::string& text) const {
  if (text.empty()) return from_text(text).size();
  const size_t bare = tokenizer_.encode(text, {.special_prefix = false}).size();
  const size_t whole = tokenizer_.encode(text).size();
  return whole - std::min(whole, bare);
}

std::vector<TokenId> PromptMaker::from_messages(const OrderedJson& messages,
                                                const OrderedJson& variables) const {
  if (chat_) {
    const RenderedConversation asked =
        render_question(*chat_, guard_, {.messages = messages, .variables = variables});
    // A chat template writes a beginning-of-text token itself where one belongs.
    const auto tokens =
        tokenizer_.encode(asked.text, {.special_prefix = false, .plain = asked.plain});
    return tokens.empty() ? from_text("") : tokens;
  }
  std::string joined;
  for (const auto& message : messages) {
    const auto content = message.at("content").get<std::string>();
    if (!joined.empty() && !content.empty()) joined += "\n\n";
    joined += content;
  }
  return encoder_.question({.prompt = std::move(joined)});
}

}  // namespace alambic
