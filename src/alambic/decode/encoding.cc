#include "alambic/decode/encoding.h"

#include <algorithm>

#include "alambic/data/puzzles.h"
#include "alambic/decode/prompting.h"

namespace alambic {
namespace {

constexpr std::string_view kSlot = "{prompt}";
constexpr std::string_view kSpaces = " \t";
const std::string kBare(kSlot);

// How much of `text` is left without the spaces at its end.
size_t without_spaces(std::string_view text) {
  const size_t last = text.find_last_not_of(kSpaces);
  return last == std::string_view::npos ? 0 : last + 1;
}

}  // namespace

Encoder::Encoder(const Tokenizer& tokenizer, const ModelCard& card)
    : tokenizer_(tokenizer), card_(card), guard_(tokenizer) {
  if (!card_.chat_template.empty()) chat_ = chat_template_of(card_, tokenizer_);
}

void Encoder::add_data(Text& text, std::string_view data) const {
  if (data.empty()) return;
  const size_t begin = text.text.size();
  // Nor may a special token hold both the template's text and the data's.
  text.plain.push_back(begin);
  for (const size_t at : guard_.breaks(data)) text.plain.push_back(begin + at);
  text.text += data;
  text.plain.push_back(text.text.size() - 1);
}

// Prompt in the card's template, with MASK where a form's blanks stand.
Encoder::Text Encoder::asked(std::string_view prompt) const {
  // A chat template frames what is asked in it; a text that nobody asks for has no frame then.
  const std::string& frame = chat_ && card_.blank.empty() ? kBare : card_.prompt_template;
  const size_t slot = frame.find(kSlot);
  Text text{frame.substr(0, slot), {}};
  bool form = false;
  while (!card_.blank.empty()) {
    const size_t at = prompt.find(card_.blank);
    if (at == std::string_view::npos) break;
    form = true;
    add_data(text, prompt.substr(0, at));
    text.text += kMaskToken;
    prompt.remove_prefix(at + card_.blank.size());
  }
  if (!form && !card_.blank.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[decode] the form has no blank; want a \"{}\" where to fill in", card_.blank);
  }
  add_data(text, prompt);
  if (slot != std::string::npos) text.text += frame.substr(slot + kSlot.size());
  return text;
}

ChatInput Encoder::chat_input(const Example& example) const {
  ChatInput input;
  if (example.messages.is_null()) {
    // A pair is two turns: where its author put the space between them is no part of either.
    Example pair{.prompt = example.prompt, .completion = example.completion};
    pair.prompt.resize(without_spaces(pair.prompt));
    pair.completion.erase(0, pair.completion.find_first_not_of(" \t"));
    input.messages = conversation_of(pair);
  } else {
    input.messages = example.messages;
  }
  input.tools = example.tools;
  return input;
}

bool Encoder::ends(TokenId id) const {
  return id == tokenizer_.eos() ||
         std::find(card_.ends.begin(), card_.ends.end(), id) != card_.ends.end();
}

bool Encoder::is_blank(TokenId id) const {
  const std::string bytes = tokenizer_.token_bytes(id);
  return !tokenizer_.is_special(id) && bytes.find_first_not_of(" \t\r\n") == std::string::npos;
}

std::vector<TokenId> Encoder::never_empty(std::vector<TokenId> tokens) const {
  if (tokens.empty()) tokens.push_back(tokenizer_.bos().value_or(end_token(tokenizer_)));
  return tokens;
}

std::vector<TokenId> Encoder::ids(const Text& text) const {
  // What the post-processor puts behind a text belongs behind the answer; a form has none.
  return tokenizer_.encode(
      text.text, {.special_suffix = !card_.blank.empty() || card_.canvas > 0, .plain = text.plain});
}

EncodedText Encoder::encode_form(const Example& example) const {
  const std::vector<TokenId> form = ids(asked(example.prompt));
  Text filled{card_.prompt_template.substr(0, card_.prompt_template.find(kSlot)), {}};
  add_data(filled, example.completion);
  const size_t slot = card_.prompt_template.find(kSlot);
  if (slot != std::string::npos) filled.text += card_.prompt_template.substr(slot + kSlot.size());
  EncodedText out;
  out.tokens = ids(filled);
  const TokenId mask = tokenizer_.find(kMaskToken).value_or(-1);
  bool fits = form.size() == out.tokens.size();
  for (size_t i = 0; fits && i < form.size(); ++i) {
    out.learned.push_back(form[i] == mask);
    fits = form[i] == mask || form[i] == out.tokens[i];
  }
  if (!fits) {
    fail(ErrorCode::kInvalidArgument,
         "[data] example {} is no form: its completion is not its prompt with every \"{}\" filled "
         "in by one token",
         example.id, card_.blank);
  }
  return out;
}

EncodedText Encoder::encode_plain(const Example& example) const {
  Text text = asked(example.prompt);
  const size_t cut = without_spaces(text.text);
  add_data(text, example.completion);
  std::vector<TokenSeam> seams;
  const std::vector<size_t> cuts{cut};
  EncodedText out;
  out.tokens =
      tokenizer_.encode(text.text, {.special_suffix = false, .plain = text.plain}, cuts, seams);
  size_t first = seams[0].token;
  if (first == 0) {
    out.tokens = never_empty({});
    first = out.tokens.size();
    const auto rest = tokenizer_.encode(
        text.text, {.special_prefix = false, .special_suffix = false, .plain = text.plain});
    out.tokens.insert(out.tokens.end(), rest.begin(), rest.end());
  }
  out.prompt_tokens = static_cast<int>(first);
  out.tokens.push_back(end_token(tokenizer_));
  return out;
}

EncodedText Encoder::encode_rendered(const RenderedConversation& rendered) const {
  std::vector<size_t> cuts;
  for (const auto& [begin, end] : rendered.answers) cuts.insert(cuts.end(), {begin, end});
  std::vector<TokenSeam> seams;
  EncodedText out;
  std::vector<TokenId>& tokens = out.tokens;
  tokens = tokenizer_.encode(rendered.text, {.special_prefix = false, .plain = rendered.plain},
                             cuts, seams);
  std::vector<bool> learned(tokens.size());
  size_t last_end = 0;
  for (size_t i = 0; i < seams.size(); i += 2) {
    const size_t begin = seams[i].token;
    size_t end = seams[i + 1].token + (seams[i + 1].inside ? 1 : 0);
    size_t solid = end;
    while (solid > begin && is_blank(tokens[solid - 1])) --solid;
    out.template_ends = true;
    if (solid > begin && ends(tokens[solid - 1])) {
      end = solid;
    } else if (end < tokens.size() && ends(tokens[end])) {
      ++end;
    } else {
      out.template_ends = false;
    }
    std::fill(learned.begin() + static_cast<std::ptrdiff_t>(begin),
              learned.begin() + static_cast<std::ptrdiff_t>(end), true);
    last_end = end;
  }
  const auto first = std::find(learned.begin(), learned.end(), true);
  out.has_answer = first != learned.end();
  if (!out.has_answer) return out;
  const bool answer_is_last = std::all_of(tokens.begin() + static_cast<std::ptrdiff_t>(last_end),
                                          tokens.end(), [&](TokenId id) { return is_blank(id); });
  out.prompt_tokens = static_cast<int>(first - learned.begin());
  out.learned.assign(first, learned.end());
  if (!out.template_ends && answer_is_last) {
    tokens.resize(last_end);
    out.learned.resize(last_end - static_cast<size_t>(out.prompt_tokens));
    tokens.push_back(tokenizer_.eos() || card_.ends.empty() ? end_token(tokenizer_)
                                                            : card_.ends.front());
    out.learned.push_back(true);
  }
  if (out.prompt_tokens == 0) {
    const std::vector<TokenId> start = never_empty({});
    tokens.insert(tokens.begin(), start.begin(), start.end());
    out.prompt_tokens = static_cast<int>(start.size());
  }
  return out;
}

std::vector<EncodedText> Encoder::encode(const Example& example) const {
  if (card_.task == kPuzzleTask) require_puzzle(example.prompt);
  if (!card_.blank.empty()) return {encode_form(example)};
  // A text that nobody asks for is read as it stands.
  const bool text = example.messages.is_null() && example.prompt.empty();
  if (!chat_ || text) return {encode_plain(example)};
  std::vector<EncodedText> texts;
  if (example.last_only) {
    texts.push_back(encode_rendered(render_last_answer(*chat_, guard_, chat_input(example))));
    return texts;
  }
  for (const RenderedConversation& rendered :
       render_conversation(*chat_, guard_, chat_input(example))) {
    texts.push_back(encode_rendered(rendered));
  }
  return texts;
}

std::vector<TokenId> Encoder::question(const Example& example) const {
  if (card_.task == kPuzzleTask) require_puzzle(example.prompt);
  if (chat_ && card_.blank.empty()) {
    ChatInput input = chat_input(example);
    OrderedJson& turns = input.messages;
    size_t answer = turns.size();
    while (answer > 0 && turns[answer - 1].at("role") != "assistant") --answer;
    if (answer > 0) {
      OrderedJson before = OrderedJson::array();
      for (size_t i = 0; i + 1 < answer; ++i) before.push_back(turns[i]);
      turns = std::move(before);
    }
    const RenderedConversation asked_for = render_question(*chat_, guard_, std::move(input));
    return never_empty(
        tokenizer_.encode(asked_for.text, {.special_prefix = false, .plain = asked_for.plain}));
  }
  Text text = asked(example.prompt);
  if (card_.blank.empty()) text.text.resize(without_spaces(text.text));
  return never_empty(ids(text));
}

std::vector<TokenId> Encoder::prompt(const std::string& prompt) const {
  if (chat_ && card_.blank.empty()) return question({.prompt = prompt});
  if (card_.task == kPuzzleTask) require_puzzle(prompt);
  // A prompt that nothing frames is its writer's own work: special tokens in it count.
  if (card_.blank.empty() && card_.prompt_template == kSlot) return never_empty(ids({prompt, {}}));
  Text text = asked(prompt);
  const size_t slot = card_.prompt_template.find(kSlot);
  const size_t tail =
      slot == std::string::npos ? 0 : card_.prompt_template.size() - slot - kSlot.size();
  if (card_.blank.empty())
    text.text.resize(std::max(without_spaces(text.text), text.text.size() - tail));
  return never_empty(ids(text));
}

std::vector<TokenId> Encoder::choice(const Example& example, const std::string& answer) const {
  Example whole = example;
  whole.completion = answer;
  if (chat_) {
    if (!whole.messages.is_null()) {
      size_t last = whole.messages.size();
      while (last > 0 && whole.messages[last - 1].at("role") != "assistant") --last;
      OrderedJson turns = OrderedJson::array();
      for (size_t i = 0; i + 1 < last; ++i) turns.push_back(whole.messages[i]);
      turns.push_back({{"role", "assistant"}, {"content", answer}});
      whole.messages = std::move(turns);
    }
    whole.last_only = true;
  }
  EncodedText text = encode(whole).front();
  std::vector<TokenId> ids(text.tokens.begin() + text.prompt_tokens, text.tokens.end());
  size_t end = text.learned.empty() ? ids.size() : 0;
  for (size_t i = 0; i < text.learned.size(); ++i) {
    if (text.learned[i]) end = i + 1;
  }
  ids.resize(end);
  if (!ids.empty() && ends(ids.back())) ids.pop_back();
  return ids;
}

}  // namespace alambic
