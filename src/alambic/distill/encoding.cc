#include "alambic/distill/encoding.h"

#include <algorithm>
#include <span>

#include "alambic/data/conversation.h"
#include "alambic/text/special_guard.h"

namespace alambic {

namespace {

Sequence encode_conversation(const Tokenizer& tokenizer, const ModelCard& card,
                             const Example& example) {
  const SpecialGuard guard(tokenizer);
  OrderedJson messages = conversation_of(example);
  guard.guard_messages(messages);
  Sequence s;
  bool begun = false;
  const auto add = [&](std::span<const TokenId> tokens, bool learn) {
    begun = begun || learn;
    if (!begun) s.prompt_tokens += static_cast<int>(tokens.size());
    if (begun) s.learned.insert(s.learned.end(), tokens.size(), learn);
    s.tokens.insert(s.tokens.end(), tokens.begin(), tokens.end());
  };
  bool learned_last = false;
  for (const Piece& piece :
       render_conversation(chat_template_of(card, tokenizer), messages, example.tools)) {
    add(guard.encode(piece.text, false), piece.learn);
    learned_last = piece.learn;
  }
  // Where the template does not end a text itself.
  const TokenId end = end_token(tokenizer);
  const size_t from = s.tokens.size() - std::min<size_t>(s.tokens.size(), 2);
  if (learned_last && std::find(s.tokens.begin() + static_cast<std::ptrdiff_t>(from),
                                s.tokens.end(), end) == s.tokens.end())
    add({&end, 1}, true);
  return s;
}

}  // namespace

std::optional<Sequence> encode_example(const Tokenizer& tokenizer, const ModelCard& card,
                                       const Example& example, int max_tokens) {
  Sequence s;
  if (!card.chat_template.empty()) {
    s = encode_conversation(tokenizer, card, example);
    if (s.learned.empty() || static_cast<int>(s.tokens.size()) > max_tokens) return std::nullopt;
    return s;
  }
  s.tokens = encode_prompt(tokenizer, card, example.prompt);
  s.prompt_tokens = static_cast<int>(s.tokens.size());
  const auto answer =
      tokenizer.encode(example.completion, {.special_prefix = false, .parse_special = false});
  s.tokens.insert(s.tokens.end(), answer.begin(), answer.end());
  s.tokens.push_back(end_token(tokenizer));
  if (static_cast<int>(s.tokens.size()) > max_tokens) return std::nullopt;
  return s;
}

std::vector<Sequence> encode_examples(const Tokenizer& tokenizer, const ModelCard& card,
                                      const std::vector<Example>& examples, int max_tokens,
                                      int64_t* left_out) {
  std::vector<Sequence> sequences;
  for (const Example& example : examples) {
    if (auto s = encode_example(tokenizer, card, example, max_tokens))
      sequences.push_back(std::move(*s));
  }
  if (left_out != nullptr) *left_out = static_cast<int64_t>(examples.size() - sequences.size());
  return sequences;
}

}  // namespace alambic
