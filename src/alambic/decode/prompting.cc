#include "alambic/decode/prompting.h"

#include <utility>

#include "alambic/decode/encoding.h"
#include "alambic/models/gguf_model.h"

namespace alambic {

std::vector<TokenId> stop_tokens(const Tokenizer& tokenizer, const ModelConfig& config) {
  std::vector<TokenId> stop = config.eos;
  if (const auto eos = tokenizer.eos()) {
    std::erase(stop, *eos);
    stop.insert(stop.begin(), *eos);
  }
  return stop;
}

TokenId end_token(const Tokenizer& tokenizer) {
  if (const auto eos = tokenizer.eos()) return *eos;
  fail(ErrorCode::kInvalidArgument,
       "[tokenizer] has no end-of-text token; want one such as <|endoftext|>");
}

void use_own_chat_template(const std::string& model, ModelCard& card) {
  ChatTemplateTexts texts;
  if (is_gguf(model)) {
    const Tokenizer tokenizer = Tokenizer::load(model);
    texts = {tokenizer.chat_template(), tokenizer.tool_use_template()};
  } else {
    texts = read_chat_templates(model);
  }
  card.chat_template = std::move(texts.text);
  card.tool_use_template = std::move(texts.tool_use);
}

void use_default_chat_template(const std::string& model, ModelCard& card) {
  // A card with a task is of a student, which is asked as it was trained.
  if (!card.chat_template.empty() || !card.task.empty()) return;
  try {
    use_own_chat_template(model, card);
    for (const std::string& text : {card.chat_template, card.tool_use_template}) {
      if (!text.empty()) static_cast<void>(ChatTemplate::parse(text, model));
    }
  } catch (const Error& error) {
    fail(error.code(),
         "{}; to ask without its chat template: --chat-template none, or data.chat_template = "
         "\"none\" in a recipe",
         error.what());
  }
}

ChatTemplate chat_template_of(const ModelCard& card, const Tokenizer& tokenizer) {
  ChatTemplate chat = ChatTemplate::parse(card.chat_template, "chat template")
                          .with_tool_use(card.tool_use_template);
  for (const auto& [name, content] : tokenizer.named_tokens())
    chat = chat.with_variable(name, content);
  return chat;
}

std::vector<TokenId> encode_prompt(const Tokenizer& tokenizer, const ModelCard& card,
                                   const std::string& prompt) {
  return Encoder(tokenizer, card).prompt(prompt);
}

}  // namespace alambic
