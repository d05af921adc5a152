#include "alambic/data/conversation.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

namespace alambic {
namespace {

[[noreturn]] void wrong_type(std::string_view where, std::string_view what, const OrderedJson& got,
                             std::string_view want) {
  fail(ErrorCode::kCorruptData, "[{}] {} is a JSON {}; want {}", where, what, got.type_name(),
       want);
}

const OrderedJson* present(const OrderedJson& row, const char* key) {
  const auto found = row.find(key);
  return found == row.end() || found->is_null() ? nullptr : &*found;
}

// A list of turns; null where it is empty, as where it is absent.
const OrderedJson* turns_at(const OrderedJson& row, const char* key) {
  const OrderedJson* turns = present(row, key);
  return turns != nullptr && turns->is_array() && turns->empty() ? nullptr : turns;
}

const std::string& text_at(const OrderedJson& turn, const char* key, std::string_view where) {
  const auto found = turn.find(key);
  if (found == turn.end()) {
    fail(ErrorCode::kCorruptData, "[{}] field \"{}\" is missing", where, key);
  }
  if (!found->is_string()) wrong_type(where, fmt::format("field \"{}\"", key), *found, "a string");
  return found->get_ref<const std::string&>();
}

OrderedJson message(std::string_view role, std::string_view content) {
  return {{"role", role}, {"content", content}};
}

// ShareGPT's names of roles.
std::string role_of(const std::string& from, std::string_view where) {
  static constexpr std::array<std::pair<std::string_view, const char*>, 12> kRoles = {
      {{"human", "user"},
       {"user", "user"},
       {"gpt", "assistant"},
       {"chatgpt", "assistant"},
       {"bot", "assistant"},
       {"model", "assistant"},
       {"assistant", "assistant"},
       {"function_call", "assistant"},
       {"system", "system"},
       {"observation", "tool"},
       {"function_response", "tool"},
       {"tool", "tool"}}};
  for (const auto& [name, role] : kRoles) {
    if (from == name) return role;
  }
  fail(ErrorCode::kCorruptData,
       "[{}] a turn is from \"{}\"; want human, gpt, system, tool, function_call or observation",
       where, from.substr(0, 80));
}

// A call as ShareGPT rows hold it: JSON of one call or a list of them.
OrderedJson call_message(const std::string& value, std::string_view where) {
  OrderedJson calls = parse_ordered_json(value, fmt::format("{}: function_call", where));
  if (!calls.is_array()) calls = OrderedJson::array({std::move(calls)});
  OrderedJson turn = {{"role", "assistant"}, {"content", ""}};
  turn["tool_calls"] = OrderedJson::array();
  for (OrderedJson& call : calls) {
    if (!call.is_object() || !call.contains("name")) {
      fail(ErrorCode::kCorruptData, "[{}] a function_call without \"name\"", where);
    }
    turn["tool_calls"].push_back({{"type", "function"}, {"function", std::move(call)}});
  }
  return turn;
}

// Parts of text as the one text that they are, for templates as for the server.
std::string joined_parts(const OrderedJson& parts, std::string_view where) {
  std::string text;
  for (const OrderedJson& part : parts) {
    if (part.is_string()) {
      text += part.get_ref<const std::string&>();
      continue;
    }
    if (!part.is_object()) wrong_type(where, "a part of \"content\"", part, "an object");
    const OrderedJson* type = present(part, "type");
    const bool is_text = type == nullptr || *type == "text";
    if (!is_text) {
      fail(ErrorCode::kCorruptData, "[{}] \"content\" holds a part of type {}; want text alone",
           where, dump_json(*type).substr(0, 80));
    }
    text += text_at(part, "text", where);
  }
  return text;
}

// A message with its content as one text: "" beside calls, and of an assistant that says nothing.
OrderedJson checked_message(OrderedJson turn, std::string_view where) {
  if (!turn.is_object()) wrong_type(where, "a message", turn, "an object");
  const bool assistant = text_at(turn, "role", where) == "assistant";
  const OrderedJson* content = present(turn, "content");
  if (content != nullptr && !content->is_string() && !content->is_array()) {
    wrong_type(where, "field \"content\"", *content, "a string or a list of parts");
  }
  const OrderedJson* calls = present(turn, "tool_calls");
  if (calls != nullptr && !calls->is_array()) {
    wrong_type(where, "field \"tool_calls\"", *calls, "a list");
  }
  const bool old_call = present(turn, "function_call") != nullptr;
  if (content == nullptr && calls == nullptr && (old_call || !assistant)) {
    fail(ErrorCode::kCorruptData, "[{}] a message has neither content nor tool_calls", where);
  }
  if (content == nullptr) {
    turn["content"] = "";
  } else if (content->is_array()) {
    turn["content"] = joined_parts(*content, where);
  }
  return turn;
}

// Turns of either form, as messages.
OrderedJson messages_from(const OrderedJson& turns, const char* key, std::string_view where) {
  if (!turns.is_array()) wrong_type(where, fmt::format("field \"{}\"", key), turns, "a list");
  OrderedJson messages = OrderedJson::array();
  for (size_t i = 0; i < turns.size(); ++i) {
    const OrderedJson& turn = turns[i];
    const std::string place = fmt::format("{}: {} {}", where, key, i + 1);
    if (!turn.is_object() || !turn.contains("from")) {
      messages.push_back(checked_message(turn, place));
      continue;
    }
    const std::string& from = text_at(turn, "from", place);
    const std::string& value = text_at(turn, "value", place);
    messages.push_back(from == "function_call" ? call_message(value, place)
                                               : message(role_of(from, place), value));
  }
  return messages;
}

// Functions in OpenAI's form; bare descriptions are wrapped.
OrderedJson tools_from(const OrderedJson& field, std::string_view where) {
  OrderedJson tools = field;
  if (field.is_string()) {
    const auto& text = field.get_ref<const std::string&>();
    if (text.empty()) return {};
    tools = parse_ordered_json(text, fmt::format("{}: tools", where));
  }
  if (!tools.is_array()) wrong_type(where, "field \"tools\"", tools, "a list");
  if (tools.empty()) return {};
  for (OrderedJson& tool : tools) {
    if (!tool.is_object()) wrong_type(where, "a tool", tool, "an object");
    if (!tool.contains("function") && tool.contains("name")) {
      OrderedJson wrapped = {{"type", "function"}};
      wrapped["function"] = std::move(tool);
      tool = std::move(wrapped);
    }
  }
  return tools;
}

bool is_answer(const OrderedJson& turn) { return turn.at("role") == "assistant"; }

// What a turn says, for reports and for telling rows apart.
std::string text_of(const OrderedJson& turn) {
  std::string text;
  const OrderedJson* content = present(turn, "content");
  if (content != nullptr && content->is_string()) text = content->get<std::string>();
  if (const OrderedJson* calls = present(turn, "tool_calls")) {
    text += (text.empty() ? "" : "\n") + dump_json(*calls);
  }
  return text;
}

bool blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

}  // namespace

bool read_conversation(const OrderedJson& row, std::string_view where, Example& example) {
  const OrderedJson* messages = turns_at(row, "messages");
  const OrderedJson* shared = turns_at(row, "conversations");
  const OrderedJson* prompt = present(row, "prompt");
  const OrderedJson* completion = present(row, "completion");
  if (messages != nullptr) {
    example.messages = messages_from(*messages, "messages", where);
  } else if (shared != nullptr) {
    example.messages = messages_from(*shared, "conversations", where);
  } else if (prompt != nullptr && prompt->is_array() && !prompt->empty() &&
             prompt->front().is_object()) {
    example.messages = messages_from(*prompt, "prompt", where);
    if (completion != nullptr) {
      for (OrderedJson& turn : messages_from(*completion, "completion", where)) {
        example.messages.push_back(std::move(turn));
      }
    }
  } else {
    return false;
  }
  if (const OrderedJson* system = present(row, "system")) {
    if (!system->is_string()) wrong_type(where, "field \"system\"", *system, "a string");
    const bool has_one = example.messages[0].at("role") == "system";
    if (!has_one && !system->get_ref<const std::string&>().empty()) {
      OrderedJson with_system = OrderedJson::array();
      with_system.push_back(message("system", system->get_ref<const std::string&>()));
      for (OrderedJson& turn : example.messages) with_system.push_back(std::move(turn));
      example.messages = std::move(with_system);
    }
  }
  if (const OrderedJson* tools = present(row, "tools")) example.tools = tools_from(*tools, where);
  size_t answer = example.messages.size();
  for (size_t i = 0; i < example.messages.size(); ++i) {
    if (is_answer(example.messages[i])) answer = i;
  }
  for (size_t i = 0; i < answer; ++i) {
    example.prompt += (i == 0 ? "" : "\n") + text_of(example.messages[i]);
  }
  const bool answered = answer < example.messages.size() && holds_answer(example.messages[answer]);
  if (answered) example.completion = text_of(example.messages[answer]);
  return true;
}

OrderedJson with_argument_objects(OrderedJson messages) {
  const auto convert = [](OrderedJson& call) {
    const auto found = call.is_object() ? call.find("arguments") : call.end();
    if (!call.is_object() || found == call.end() || !found->is_string()) return;
    const auto& text = found->get_ref<const std::string&>();
    if (blank(text)) {
      *found = OrderedJson::object();
      return;
    }
    try {
      OrderedJson value = parse_ordered_json(text, "arguments");
      if (value.is_object()) *found = std::move(value);
    } catch (const Error&) {  // text that is no JSON
    }
  };
  for (OrderedJson& message : messages) {
    if (!message.is_object()) continue;
    if (message.contains("function_call")) convert(message["function_call"]);
    const auto calls = message.find("tool_calls");
    if (calls == message.end() || !calls->is_array()) continue;
    for (OrderedJson& call : *calls) {
      if (!call.is_object()) continue;
      convert(call.contains("function") ? call["function"] : call);
    }
  }
  return messages;
}

bool holds_answer(const OrderedJson& turn) {
  if (!turn.is_object() || turn.value("role", "") != "assistant") return false;
  const OrderedJson* content = present(turn, "content");
  const OrderedJson* calls = present(turn, "tool_calls");
  const OrderedJson* weight = present(turn, "weight");
  if (weight != nullptr && is_any_number(*weight) && number_text(*weight) == "0") return false;
  const bool silent =
      content == nullptr || (content->is_string() && blank(content->get_ref<const std::string&>()));
  return !silent || (calls != nullptr && !calls->empty());
}

std::vector<Example> one_for_each_answer(const Example& example) {
  std::vector<Example> parts;
  OrderedJson before = OrderedJson::array();
  std::string asked;
  for (const OrderedJson& turn : example.messages) {
    before.push_back(turn);
    const std::string said = text_of(turn);
    if (holds_answer(turn)) {
      Example part = example;
      part.id = fmt::format("{}-{}", example.id, parts.size() + 1);
      part.prompt = asked;
      part.completion = said;
      part.messages = before;
      part.last_only = true;
      parts.push_back(std::move(part));
    }
    asked += (before.size() == 1 ? "" : "\n") + said;
  }
  return parts;
}

int answers_in(const Example& example) {
  int answers = 0;
  for (const auto& message : example.messages) {
    if (holds_answer(message)) ++answers;
  }
  return answers;
}

OrderedJson conversation_of(const Example& example) {
  if (!example.messages.is_null()) return example.messages;
  OrderedJson messages = OrderedJson::array();
  if (!example.prompt.empty()) messages.push_back(message("user", example.prompt));
  if (!example.completion.empty()) messages.push_back(message("assistant", example.completion));
  return messages;
}

}  // namespace alambic
