#include "alambic/distill/asking.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>

namespace alambic {
namespace {

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

OrderedJson api_messages(const OrderedJson& messages, const std::string& system) {
  OrderedJson result = messages;
  if (!system.empty()) {
    if (!result.empty() && role_of(result.front()) == "system") {
      put_before(system, result.front());
    } else {
      result.insert(result.begin(), OrderedJson{{"role", "system"}, {"content", system}});
    }
  }
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

std::vector<TokenId> encode_question(const Encoder& encoder, const Example& example) {
  if (!example.messages.is_array()) return encoder.question(example);
  // The encoder asks for the last answer; here that is the one to be written.
  Example asked = example;
  asked.prompt = prompt_to_ask(example);
  asked.messages = messages_to_ask(example);
  asked.messages.push_back(OrderedJson{{"role", "assistant"}, {"content", ""}});
  return encoder.question(asked);
}

}  // namespace alambic
