// From conversations to the texts that a chat template makes of them.
#include <algorithm>
#include <array>
#include <ctime>
#include <optional>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/base/trimmed.h"
#include "alambic/data/conversation.h"
#include "alambic/data/reasoning.h"

namespace alambic {
namespace {

using Spans = std::vector<std::pair<size_t, size_t>>;

size_t shared_length(std::string_view a, std::string_view b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                             a.begin());
}

bool all_white(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

bool is_assistant(const OrderedJson& turn) {
  const auto role = turn.is_object() ? turn.find("role") : turn.end();
  return turn.is_object() && role != turn.end() && *role == "assistant";
}

// A conversation with stand-ins in it, and the template at work on it.
class Renderer {
 public:
  Renderer(const ChatTemplate& chat, const SpecialGuard& guard, ChatInput&& input)
      : chat_(chat), input_(prepared(std::move(input))), data_(guard, parts_of(input_)) {
    messages_ = std::move(input_.messages);
  }

  size_t turns() const { return messages_.size(); }
  bool assistant(size_t turn) const { return is_assistant(messages_[turn]); }
  bool teaches(size_t turn) const { return holds_answer(messages_[turn]); }

  // A template that knows no tools leaves calls out without a word, and such a turn would teach to
  // say nothing.
  void require_calls() {
    for (size_t i = 0; i < messages_.size(); ++i) {
      if (!messages_[i].is_object() || !messages_[i].contains("tool_calls")) continue;
      if (messages_[i]["tool_calls"].empty()) continue;
      const std::string with_calls = first(turns(), false).text;
      input_.messages[i].erase("tool_calls");
      if (!same_text(with_calls)) continue;
      fail(ErrorCode::kUnsupported,
           "[chat template] leaves out the tool calls of turn {}; want a template that writes them",
           i + 1);
    }
  }

  RenderedChat first(size_t count, bool prompt) {
    input_.messages = OrderedJson::array();
    for (size_t i = 0; i < count; ++i) input_.messages.push_back(messages_[i]);
    input_.add_generation_prompt = prompt;
    return chat_.render_chat(input_);
  }

  // Where the answer of `turn` stands in `whole`, the text of a conversation that holds it;
  // `through`: the text up to it. Nothing where the template rewrites what came before.
  std::optional<std::pair<size_t, size_t>> span_of(size_t turn, const std::string& through,
                                                   const std::string& whole) {
    const std::string before = first(turn, true).text;
    const size_t begin = shared_length(before, whole), end = shared_length(through, whole);
    const bool grows = all_white(std::string_view(before).substr(begin)) &&
                       all_white(std::string_view(through).substr(end)) && begin <= end;
    if (!grows) return std::nullopt;
    return std::pair{begin, end};
  }

  // The text with the data's own characters.
  RenderedConversation finished(std::string text, const Spans& answers) const {
    RenderedConversation out{std::move(text), {}, {}};
    std::vector<size_t> cuts;
    for (const auto& [begin, end] : answers) cuts.insert(cuts.end(), {begin, end});
    data_.restore(out.text, cuts, out.plain);
    for (size_t i = 0; i < cuts.size(); i += 2) {
      if (cuts[i] < cuts[i + 1]) out.answers.emplace_back(cuts[i], cuts[i + 1]);
    }
    return out;
  }

  // The text up to the answer of `turn`, and that answer.
  RenderedConversation through_answer(size_t turn) {
    const std::string text = first(turn + 1, false).text;
    const auto span = span_of(turn, text, text);
    if (!span) {
      if (const auto opened = through_opened_block(turn, text)) return *opened;
      fail(ErrorCode::kUnsupported,
           "[chat template] the text before turn {} changes with what it answers, so what is to be "
           "learned cannot be told; want a template that grows turn by turn or has "
           "{{% generation %}} markers",
           turn + 1);
    }
    return finished(text, {*span});
  }

 private:
  // The same of a template whose generation prompt opens a block of reasoning that its old turns do
  // not have (DeepSeek-R1): the answer goes on inside the block. Nothing where it is no such one.
  std::optional<RenderedConversation> through_opened_block(size_t turn, const std::string& text) {
    const std::string before = first(turn, true).text;
    const size_t shared = shared_length(before, text);
    if (trimmed(std::string_view(before).substr(shared)) != kOpenBlock) return std::nullopt;
    const auto content = messages_[turn].find("content");
    const std::string thoughts =
        content != messages_[turn].end() && content->is_string()
            ? without_reasoning(content->get_ref<const std::string&>()).reasoning
            : std::string();
    const size_t begin = before.size();
    std::string whole = before + in_opened_block(thoughts, text.substr(shared));
    const size_t end = whole.size();
    return finished(std::move(whole), {{begin, end}});
  }

  // Whether the input makes just this text; one that the template refuses makes none.
  bool same_text(const std::string& text) const {
    try {
      return chat_.render(input_) == text;
    } catch (const Error&) {
      return false;
    }
  }

  static ChatInput prepared(ChatInput&& input) {
    input.messages = with_argument_objects(std::move(input.messages));
    if (input.now == 0) input.now = std::time(nullptr);  // the same for every rendering
    return std::move(input);
  }
  static std::array<OrderedJson*, 3> parts_of(ChatInput& input) {
    return {&input.messages, &input.tools, &input.variables};
  }

  const ChatTemplate& chat_;
  ChatInput input_;
  GuardedData data_;
  OrderedJson messages_;
};

// Of spans that stand for the assistant's turns, one each, those whose turn is to be learned.
Spans taught(const Renderer& renderer, const Spans& generated) {
  std::vector<bool> kept;
  for (size_t i = 0; i < renderer.turns(); ++i) {
    if (renderer.assistant(i)) kept.push_back(renderer.teaches(i));
  }
  if (kept.size() != generated.size()) return generated;
  Spans spans;
  for (size_t i = 0; i < kept.size(); ++i) {
    if (kept[i]) spans.push_back(generated[i]);
  }
  return spans;
}

}  // namespace

std::vector<RenderedConversation> render_conversation(const ChatTemplate& chat,
                                                      const SpecialGuard& guard, ChatInput input) {
  Renderer renderer(chat, guard, std::move(input));
  renderer.require_calls();
  const RenderedChat whole = renderer.first(renderer.turns(), false);
  if (!whole.generated.empty() && !whole.generated_elsewhere) {
    return {renderer.finished(whole.text, taught(renderer, whole.generated))};
  }
  std::vector<size_t> answers;
  for (size_t i = 0; i < renderer.turns(); ++i) {
    if (renderer.teaches(i)) answers.push_back(i);
  }
  Spans spans;
  for (const size_t turn : answers) {
    const std::string through =
        turn + 1 == renderer.turns() ? whole.text : renderer.first(turn + 1, false).text;
    const auto span = renderer.span_of(turn, through, whole.text);
    if (!span || (!spans.empty() && spans.back().second > span->first)) break;
    spans.push_back(*span);
  }
  if (spans.size() == answers.size()) return {renderer.finished(whole.text, spans)};
  std::vector<RenderedConversation> texts;
  texts.reserve(answers.size());
  for (const size_t turn : answers) texts.push_back(renderer.through_answer(turn));
  return texts;
}

RenderedConversation render_last_answer(const ChatTemplate& chat, const SpecialGuard& guard,
                                        ChatInput input) {
  Renderer renderer(chat, guard, std::move(input));
  renderer.require_calls();
  size_t turn = renderer.turns();
  while (turn > 0 && !renderer.assistant(turn - 1)) --turn;
  if (turn == 0) return renderer.finished(renderer.first(renderer.turns(), false).text, {});
  const RenderedChat through = renderer.first(turn, false);
  if (!through.generated.empty() && !through.generated_elsewhere)
    return renderer.finished(through.text, {through.generated.back()});
  return renderer.through_answer(turn - 1);
}

RenderedConversation render_question(const ChatTemplate& chat, const SpecialGuard& guard,
                                     ChatInput input) {
  Renderer renderer(chat, guard, std::move(input));
  renderer.require_calls();
  return renderer.finished(renderer.first(renderer.turns(), true).text, {});
}

}  // namespace alambic
