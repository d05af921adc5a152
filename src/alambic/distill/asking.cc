#include "alambic/distill/asking.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "alambic/base/trimmed.h"
#include "alambic/data/reasoning.h"
#include "alambic/distill/labels.h"

namespace alambic {
namespace {

constexpr std::string_view kPromptSlot = "{prompt}";

std::string role_of(const OrderedJson& message) { return message.value("role", std::string()); }

// The text in front of the content, whichever form that has.
void put_before(const std::string& text, OrderedJson& message) {
  OrderedJson& content = message["content"];
  if (content.is_array()) {
    content.insert(content.begin(), OrderedJson{{"type", "text"}, {"text", text + "\n\n"}});
  } else if (content.is_string() && !content.get_ref<const std::string&>().empty()) {
    content = text + "\n\n" + content.get<std::string>();
  } else {
    content = text;
  }
}

// A template around a content of several parts.
void wrap_parts(OrderedJson& parts, const std::string& around) {
  const size_t slot = around.find(kPromptSlot);
  if (slot == std::string::npos) return;
  const auto part = [](std::string text) {
    return OrderedJson{{"type", "text"}, {"text", std::move(text)}};
  };
  const std::string before = around.substr(0, slot),
                    behind = around.substr(slot + kPromptSlot.size());
  if (!before.empty()) parts.insert(parts.begin(), part(before));
  if (!behind.empty()) parts.push_back(part(behind));
}

}  // namespace

OrderedJson one_message(std::string_view prompt) {
  return OrderedJson::array({OrderedJson{{"role", "user"}, {"content", prompt}}});
}

OrderedJson messages_to_ask(const Example& example) {
  if (!example.messages.is_array()) return one_message(example.prompt);
  OrderedJson messages = example.messages;
  if (!messages.empty() && role_of(messages.back()) == "assistant")
    messages.erase(messages.size() - 1);
  return messages;
}

std::string prompt_to_ask(const Example& example) {
  const OrderedJson& turns = example.messages;
  if (!turns.is_array() || turns.empty() || role_of(turns.back()) == "assistant")
    return example.prompt;
  std::string text;
  for (const OrderedJson& turn : turns) {
    const auto content = turn.find("content");
    if (content == turn.end() || !content->is_string()) continue;
    text += (text.empty() ? "" : "\n") + content->get<std::string>();
  }
  return text;
}

OrderedJson api_messages(const OrderedJson& messages) {
  OrderedJson result = messages;
  int calls = 0;
  std::deque<std::string> open;  // calls that no result has named yet
  for (OrderedJson& message : result) {
    if (const auto list = message.find("tool_calls"); list != message.end() && list->is_array()) {
      for (OrderedJson& call : *list) {
        if (!call.is_object()) continue;
        if (!call.contains("function") && call.contains("name"))
          call = OrderedJson{{"function", call}};
        if (!call.contains("id") || !call["id"].is_string())
          call["id"] = fmt::format("call_{}", ++calls);
        open.push_back(call["id"].get<std::string>());
        call["type"] = "function";
        OrderedJson& function = call["function"];
        if (!function.is_object()) continue;
        const auto arguments = function.find("arguments");
        if (arguments == function.end()) {
          function["arguments"] = "{}";
        } else if (!arguments->is_string()) {
          *arguments = dump_json(*arguments);
        }
      }
    }
    if (role_of(message) != "tool") continue;
    if (const auto id = message.find("tool_call_id"); id != message.end() && id->is_string()) {
      std::erase(open, id->get<std::string>());
    } else if (!open.empty()) {
      message["tool_call_id"] = open.front();
      open.pop_front();
    }
  }
  return result;
}

std::optional<AnswerKind> cannot_ask(const Example& example, const AskedThrough& through) {
  if (!example.messages.is_array()) {
    return example.prompt.empty() && through.turns ? std::optional(AnswerKind::kNoPrompt)
                                                   : std::nullopt;
  }
  const OrderedJson messages = messages_to_ask(example);
  if (messages.empty()) return AnswerKind::kNoPrompt;
  const bool several = std::any_of(messages.begin(), messages.end(), [](const OrderedJson& m) {
    const std::string role = role_of(m);
    return role == "assistant" || role == "tool";
  });
  if (several && !through.turns && !through.joined) return AnswerKind::kNoTemplate;
  return std::nullopt;
}

bool opens_block(const Tokenizer& tokenizer, std::span<const TokenId> prompt) {
  constexpr size_t kLast = 8;
  const std::string end =
      tokenizer.decode(prompt.last(std::min(prompt.size(), kLast)), /*skip_special=*/false);
  return trimmed(end).ends_with(kOpenBlock);
}

Example to_be_answered(const Example& example) {
  if (!example.messages.is_array()) return example;
  // The encoder asks for the last answer; here that is the one to be written.
  Example asked = example;
  asked.prompt = prompt_to_ask(example);
  asked.messages = messages_to_ask(example);
  asked.messages.push_back(OrderedJson{{"role", "assistant"}, {"content", ""}});
  return asked;
}

std::vector<TokenId> encode_question(const Encoder& encoder, const Example& example) {
  return encoder.question(to_be_answered(example));
}

Telling with_labels_told(Telling telling, std::span<const std::string> labels) {
  if (labels.empty()) return telling;
  const Telling given = telling;
  telling.system = with_labels(std::move(telling.system), labels);
  telling.prompt_template = with_labels(std::move(telling.prompt_template), labels);
  if (telling == given)
    telling.system += (telling.system.empty() ? "" : "\n\n") + told_labels(labels);
  return telling;
}

void describe_telling(const Telling& telling, std::span<const std::string> labels,
                      OrderedJson& sampling) {
  if (!telling.system.empty()) sampling["system"] = telling.system;
  if (telling.prompt_template != kPromptSlot) sampling["prompt_template"] = telling.prompt_template;
  if (!labels.empty()) sampling["labels"] = labels_key(labels);
}

std::string told_text(std::string_view prompt, const Telling& telling) {
  std::string text = telling.prompt_template;
  if (const size_t at = text.find(kPromptSlot); at != std::string::npos)
    text.replace(at, kPromptSlot.size(), prompt);
  return telling.system.empty() ? text : telling.system + "\n\n" + text;
}

OrderedJson told_messages(OrderedJson messages, const Telling& telling) {
  if (telling.empty()) return messages;
  const Telling around{"", telling.prompt_template};
  for (size_t i = messages.size(); i > 0; --i) {
    OrderedJson& turn = messages[i - 1];
    const auto content = turn.find("content");
    if (role_of(turn) != "user" || content == turn.end()) continue;
    if (content->is_string()) {
      *content = told_text(content->get<std::string>(), around);
    } else if (content->is_array()) {
      wrap_parts(*content, telling.prompt_template);
    }
    break;
  }
  if (telling.system.empty()) return messages;
  if (!messages.empty() && role_of(messages.front()) == "system") {
    put_before(telling.system, messages.front());
  } else {
    messages.insert(messages.begin(), OrderedJson{{"role", "system"}, {"content", telling.system}});
  }
  return messages;
}

Example told(const Example& example, const Telling& telling, bool chat) {
  if (telling.empty()) return example;
  Example out = example;
  if (!chat) {
    out.prompt = told_text(prompt_to_ask(example), telling);
    out.messages = nullptr;
    return out;
  }
  if (!example.messages.is_array()) {
    // As the encoder makes two turns of a pair.
    constexpr std::string_view kSpaces = " \t";
    out.messages = one_message(
        std::string_view(example.prompt).substr(0, example.prompt.find_last_not_of(kSpaces) + 1));
    std::string answer = example.completion;
    answer.erase(0, answer.find_first_not_of(kSpaces));
    out.messages.push_back(OrderedJson{{"role", "assistant"}, {"content", std::move(answer)}});
  }
  out.messages = told_messages(std::move(out.messages), telling);
  out.last_only = true;
  return out;
}

}  // namespace alambic
