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
  for (const ConversationPart& piece :
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

// A form: the completion is the prompt filled in, and what was blank is what there is to learn.
Sequence encode_form(const Tokenizer& tokenizer, const ModelCard& card, const Example& example) {
  const std::vector<TokenId> form = encode_prompt(tokenizer, card, example.prompt);
  Sequence s;
  s.tokens = tokenizer.encode(apply_template(card, example.completion), {.parse_special = false});
  const TokenId mask = tokenizer.find(kMaskToken).value_or(-1);
  bool fits = form.size() == s.tokens.size();
  for (size_t i = 0; fits && i < form.size(); ++i) {
    s.learned.push_back(form[i] == mask);
    fits = form[i] == mask || form[i] == s.tokens[i];
  }
  if (!fits) {
    fail(ErrorCode::kInvalidArgument,
         "[data] example {} is no form: its completion is not its prompt with every \"{}\" filled "
         "in "
         "by one token",
         example.id, card.blank);
  }
  return s;
}

}  // namespace

bool has_several_answers(const std::vector<bool>& learned) {
  const auto gap = std::find(learned.begin(), learned.end(), false);
  return std::find(gap, learned.end(), true) != learned.end();
}

bool pad_to_canvas(Sequence& s, int canvas, TokenId end) {
  const size_t size = static_cast<size_t>(s.prompt_tokens) + static_cast<size_t>(canvas);
  if (s.tokens.size() > size) return false;
  if (!s.learned.empty()) s.learned.resize(static_cast<size_t>(canvas), true);
  s.tokens.resize(size, end);
  return true;
}

std::optional<Sequence> encode_example(const Tokenizer& tokenizer, const ModelCard& card,
                                       const Example& example, int max_tokens) {
  Sequence s;
  if (!card.blank.empty()) {
    s = encode_form(tokenizer, card, example);
  } else if (!card.chat_template.empty()) {
    s = encode_conversation(tokenizer, card, example);
    if (s.learned.empty()) return std::nullopt;
  } else {
    s.tokens = encode_prompt(tokenizer, card, example.prompt);
    s.prompt_tokens = static_cast<int>(s.tokens.size());
    const auto answer =
        tokenizer.encode(example.completion, {.special_prefix = false, .parse_special = false});
    s.tokens.insert(s.tokens.end(), answer.begin(), answer.end());
    s.tokens.push_back(end_token(tokenizer));
  }
  if (card.canvas > 0 && !pad_to_canvas(s, card.canvas, end_token(tokenizer))) return std::nullopt;
  if (static_cast<int>(s.tokens.size()) > max_tokens) return std::nullopt;
  return s;
}

std::vector<Sequence> encode_examples(const Tokenizer& tokenizer, const ModelCard& card,
                                      const std::vector<Example>& examples, int max_tokens,
                                      std::vector<LeftOut>* left_out) {
  std::vector<Sequence> sequences;
  for (const Example& example : examples) {
    if (auto s = encode_example(tokenizer, card, example, max_tokens)) {
      sequences.push_back(std::move(*s));
    } else if (left_out != nullptr) {
      left_out->push_back({LeftOut::Reason::kTooLong, place_of(example), ""});
    }
  }
  return sequences;
}

}  // namespace alambic
