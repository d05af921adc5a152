#include "alambic/decode/prompting.h"

#include <utility>

#include "alambic/data/puzzles.h"
#include "alambic/models/gguf_model.h"
#include "alambic/text/special_guard.h"

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

// A form, with MASK where the card's blank stands.
std::string with_masks(const std::string& prompt, const std::string& blank) {
  std::string form;
  size_t begin = 0;
  for (size_t at; (at = prompt.find(blank, begin)) != std::string::npos; begin = at + blank.size())
    form.append(prompt, begin, at - begin).append(kMaskToken);
  if (begin == 0) {
    fail(ErrorCode::kInvalidArgument,
         "[decode] the form has no blank; want a \"{}\" where to fill in", blank);
  }
  return form.append(prompt, begin);
}

}  // namespace

std::vector<TokenId> encode_prompt(const Tokenizer& tokenizer, const ModelCard& card,
                                   const std::string& prompt) {
  if (card.task == kPuzzleTask) require_puzzle(prompt);
  const std::string text = card.blank.empty() ? prompt : with_masks(prompt, card.blank);
  std::vector<TokenId> tokens = card.chat_template.empty()
                                    ? tokenizer.encode(apply_template(card, text))
                                    : encode_question(tokenizer, card, text);
  if (tokens.empty()) tokens.push_back(tokenizer.bos().value_or(end_token(tokenizer)));
  return tokens;
}

}  // namespace alambic
