#include "alambic/decode/prompting.h"

#include <utility>

#include "alambic/models/gguf_model.h"
#include "alambic/text/special_guard.h"

namespace alambic {

TokenId end_token(const Tokenizer& tokenizer) {
  if (const auto eos = tokenizer.eos()) return *eos;
  fail(ErrorCode::kInvalidArgument,
       "[tokenizer] has no end-of-text token; want one such as <|endoftext|>");
}

std::string own_chat_template(const std::string& model) {
  if (is_gguf(model)) return Tokenizer::load(model).chat_template();
  const auto chat = ChatTemplate::load(model);
  return chat ? chat->source() : "";
}

ChatTemplate chat_template_of(const ModelCard& card, const Tokenizer& tokenizer) {
  ChatTemplate chat = ChatTemplate::parse(card.chat_template, "chat template");
  for (const auto& [name, id] : {std::pair{"bos_token", tokenizer.bos()},
                                 {"eos_token", tokenizer.eos()},
                                 {"pad_token", tokenizer.pad()},
                                 {"unk_token", tokenizer.unk()}}) {
    if (id) chat = chat.with_variable(name, tokenizer.token_content(*id));
  }
  return chat;
}

namespace {

std::vector<TokenId> encode_question(const Tokenizer& tokenizer, const ModelCard& card,
                                     const std::string& prompt) {
  const SpecialGuard guard(tokenizer);
  ChatInput input;
  input.messages = {{{"role", "user"}, {"content", guard.guard(prompt)}}};
  input.add_generation_prompt = true;
  return guard.encode(chat_template_of(card, tokenizer).render(input), false);
}

}  // namespace

std::vector<TokenId> encode_prompt(const Tokenizer& tokenizer, const ModelCard& card,
                                   const std::string& prompt) {
  std::vector<TokenId> tokens = card.chat_template.empty()
                                    ? tokenizer.encode(apply_template(card, prompt))
                                    : encode_question(tokenizer, card, prompt);
  if (tokens.empty()) tokens.push_back(tokenizer.bos().value_or(end_token(tokenizer)));
  return tokens;
}

}  // namespace alambic
