#include "alambic/distill/endpoint_reply.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <initializer_list>
#include <limits>

#include "alambic/base/trimmed.h"
#include "alambic/distill/answers.h"

namespace alambic {
namespace {

constexpr size_t kShown = 200;             // bytes of a foreign text in an error line
constexpr size_t kMaxAlternatives = 4096;  // a token; far above what any server gives
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// On one line and without control characters.
std::string shown(std::string_view text) {
  std::string line;
  for (const char c : text.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    line += byte < 0x20 || byte == 0x7F ? ' ' : c;
  }
  return text.size() > kShown ? line + "…" : line;
}

Json parse_object(std::string_view body, std::string_view where) {
  const std::string_view start = trimmed(body);
  if (start.empty()) fail(ErrorCode::kCorruptData, "[{}] answered nothing; want JSON", where);
  if (start.front() == '<') {
    fail(ErrorCode::kCorruptData, "[{}] answered HTML; want JSON; got \"{}\"", where, shown(start));
  }
  Json value = parse_json(body, where);
  if (!value.is_object()) {
    fail(ErrorCode::kCorruptData, "[{}] answered a JSON {}; want an object", where,
         value.type_name());
  }
  return value;
}

// value[key] where it is there and of this kind, else null.
const Json* member(const Json& value, const char* key) {
  if (!value.is_object()) return nullptr;
  const auto it = value.find(key);
  return it == value.end() || it->is_null() ? nullptr : &*it;
}

std::string text_or_empty(const Json& value, const char* key) {
  const Json* found = member(value, key);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

const Json& list_at(const Json& value, const char* key, std::string_view where) {
  const Json* found = member(value, key);
  if (found == nullptr || !found->is_array()) {
    fail(ErrorCode::kCorruptData, "[{}] \"{}\" is no list", where, key);
  }
  return *found;
}

double number(const Json& value, std::string_view where) {
  if (!value.is_number()) {
    fail(ErrorCode::kCorruptData, "[{}] a log-probability is a {}", where, value.type_name());
  }
  return value.get<double>();
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// "bytes:\xe2\x80" and the like; nullopt where the name is something else.
std::optional<std::string> spelled_bytes(std::string_view name) {
  constexpr std::string_view kMark = "bytes:";
  if (!name.starts_with(kMark) || name.size() == kMark.size()) return std::nullopt;
  std::string bytes;
  for (size_t at = kMark.size(); at < name.size(); at += 4) {
    if (at + 4 > name.size() || name[at] != '\\' || name[at + 1] != 'x') return std::nullopt;
    const int high = hex_digit(name[at + 2]), low = hex_digit(name[at + 3]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

EndpointAlternative from_name(const std::string& name, double log_probability) {
  if (auto bytes = spelled_bytes(name)) return {std::move(*bytes), true, log_probability};
  return {name, name.find("\xEF\xBF\xBD") == std::string::npos, log_probability};
}

EndpointAlternative chat_token(const Json& entry, std::string_view where) {
  const Json* log_probability = member(entry, "logprob");
  if (!entry.is_object() || log_probability == nullptr) {
    fail(ErrorCode::kCorruptData, "[{}] a token has no log-probability", where);
  }
  EndpointAlternative token =
      from_name(text_or_empty(entry, "token"), number(*log_probability, where));
  const Json* bytes = member(entry, "bytes");
  if (bytes == nullptr || !bytes->is_array() || bytes->empty()) return token;
  token.bytes.clear();
  token.known = true;
  for (const Json& byte : *bytes) {
    if (!byte.is_number_unsigned() || byte.get<uint64_t>() > 255) {
      fail(ErrorCode::kCorruptData, "[{}] \"bytes\" holds what is no byte", where);
    }
    token.bytes += static_cast<char>(byte.get<uint8_t>());
  }
  return token;
}

std::vector<EndpointToken> chat_tokens(const Json& content, std::string_view where) {
  std::vector<EndpointToken> tokens;
  for (const Json& entry : content) {
    EndpointToken& token = tokens.emplace_back();
    token.chosen = chat_token(entry, where);
    const Json* top = member(entry, "top_logprobs");
    if (top == nullptr) continue;
    if (!top->is_array() || top->size() > kMaxAlternatives) {
      fail(ErrorCode::kCorruptData, "[{}] \"top_logprobs\" is no list of sane length", where);
    }
    for (const Json& other : *top) token.top.push_back(chat_token(other, where));
  }
  return tokens;
}

std::vector<EndpointToken> completion_tokens(const Json& lists, std::string_view where) {
  const Json& names = list_at(lists, "tokens", where);
  const Json& own = list_at(lists, "token_logprobs", where);
  const Json* tops = member(lists, "top_logprobs");
  if (own.size() != names.size() ||
      (tops != nullptr && (!tops->is_array() || tops->size() != names.size()))) {
    fail(ErrorCode::kCorruptData, "[{}] the lists of tokens and log-probabilities differ in length",
         where);
  }
  std::vector<EndpointToken> tokens;
  for (size_t i = 0; i < names.size(); ++i) {
    if (!names[i].is_string()) fail(ErrorCode::kCorruptData, "[{}] a token is no text", where);
    EndpointToken& token = tokens.emplace_back();
    token.chosen =
        from_name(names[i].get<std::string>(), own[i].is_null() ? kNan : number(own[i], where));
    if (tops == nullptr || tops->at(i).is_null()) continue;
    const Json& top = tops->at(i);
    if (!top.is_object() || top.size() > kMaxAlternatives) {
      fail(ErrorCode::kCorruptData, "[{}] \"top_logprobs\" holds a {}", where, top.type_name());
    }
    for (const auto& [name, value] : top.items()) {
      token.top.push_back(from_name(name, number(value, where)));
    }
    std::stable_sort(token.top.begin(), token.top.end(), [](const auto& a, const auto& b) {
      return a.log_probability > b.log_probability;
    });
  }
  return tokens;
}

// As vLLM scores a prompt: for each of its tokens the alternatives by their ids, the token itself
// in front; null for a token that nothing predicts.
std::vector<EndpointToken> tokens_of_prompt(std::string_view body, std::string_view where) {
  // Once more, in the order that the body has.
  const OrderedJson object = OrderedJson::parse(body, nullptr, false);
  const OrderedJson::json_pointer place("/choices/0/prompt_logprobs");
  std::vector<EndpointToken> tokens;
  if (!object.contains(place)) return tokens;
  for (const OrderedJson& entry : object.at(place)) {
    if (entry.is_null()) continue;
    if (!entry.is_object() || entry.empty() || entry.size() > kMaxAlternatives) {
      fail(ErrorCode::kCorruptData, "[{}] \"prompt_logprobs\" holds what is no token", where);
    }
    EndpointToken& token = tokens.emplace_back();
    for (const auto& [id, other] : entry.items()) {
      const Json alternative = other;
      const Json* log_probability = member(alternative, "logprob");
      if (log_probability == nullptr) {
        fail(ErrorCode::kCorruptData, "[{}] token {} has no log-probability", where, shown(id));
      }
      token.top.push_back(
          from_name(text_or_empty(alternative, "decoded_token"), number(*log_probability, where)));
    }
    token.chosen = token.top.front();
  }
  return tokens;
}

// What a message holds, in either form of its content.
struct Content {
  std::string text, reasoning, refusal;
};

void add_parts(const Json& parts, std::string_view where, Content& content);

// A part of a list: a text, or {"type": "text", "text": …}; "thinking" and "refusal" likewise.
void add_part(const Json& part, std::string_view where, Content& content) {
  if (part.is_string()) {
    content.text += part.get<std::string>();
    return;
  }
  if (!part.is_object()) {
    fail(ErrorCode::kCorruptData, "[{}] a part of the message is a {}; want text", where,
         part.type_name());
  }
  content.refusal += text_or_empty(part, "refusal");
  for (const char* key : {"thinking", "reasoning"}) {
    const Json* thoughts = member(part, key);
    if (thoughts == nullptr) continue;
    Content inner;
    if (thoughts->is_string()) inner.text = thoughts->get<std::string>();
    if (thoughts->is_array()) add_parts(*thoughts, where, inner);
    content.reasoning += inner.text;
    return;
  }
  const std::string type = text_or_empty(part, "type");
  const bool thinks = type == "reasoning" || type == "thinking";
  (thinks ? content.reasoning : content.text) += text_or_empty(part, "text");
}

void add_parts(const Json& parts, std::string_view where, Content& content) {
  constexpr size_t kMaxParts = 4096;
  if (parts.size() > kMaxParts) {
    fail(ErrorCode::kCorruptData, "[{}] the message has {} parts", where, parts.size());
  }
  for (const Json& part : parts) {
    // One level is what the API has; deeper lists are no text.
    if (part.is_array()) fail(ErrorCode::kCorruptData, "[{}] a part is a list", where);
    add_part(part, where, content);
  }
}

Content content_of(const Json& message, std::string_view where) {
  Content content;
  for (const char* key : {"reasoning_content", "reasoning"}) {
    if (content.reasoning.empty()) content.reasoning = text_or_empty(message, key);
  }
  content.refusal = text_or_empty(message, "refusal");
  const Json* field = member(message, "content");
  if (field == nullptr) return content;
  if (field->is_array()) {
    add_parts(*field, where, content);
  } else if (field->is_string()) {
    content.text = field->get<std::string>();
  } else {
    fail(ErrorCode::kCorruptData, "[{}] the message is a {}; want text", where, field->type_name());
  }
  return content;
}

bool calls_tools(const Json& message) {
  const Json* calls = member(message, "tool_calls");
  return (calls != nullptr && !calls->empty()) || member(message, "function_call") != nullptr;
}

enum class Ending { kUnknown, kStopped, kLength, kFilter, kTools, kFailed };

// Servers have many words for why an answer ended.
Ending ending_of(std::string finish) {
  std::transform(finish.begin(), finish.end(), finish.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto one_of = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), finish) != names.end();
  };
  if (finish.empty()) return Ending::kUnknown;
  if (one_of({"length", "max_tokens", "max_length", "model_length", "max_output_tokens"}))
    return Ending::kLength;
  if (finish.starts_with("content_filter") ||
      one_of({"safety", "recitation", "refusal", "blocklist", "prohibited_content", "guardrail",
              "sensitive", "spii"}))
    return Ending::kFilter;
  if (one_of({"tool_calls", "tool_use", "tool_call", "function_call"})) return Ending::kTools;
  if (one_of({"error", "abort", "aborted", "cancelled", "canceled", "insufficient_system_resource",
              "network_error"}))
    return Ending::kFailed;
  if (one_of({"stop", "eos", "eos_token", "stop_sequence", "end_turn"})) return Ending::kStopped;
  return Ending::kUnknown;
}

int64_t count_or_zero(const Json* usage, const char* key) {
  const Json* value = usage == nullptr ? nullptr : member(*usage, key);
  constexpr uint64_t kSane = uint64_t{1} << 40;
  if (value == nullptr || !value->is_number_unsigned() || value->get<uint64_t>() > kSane) return 0;
  return value->get<int64_t>();
}

}  // namespace

EndpointReply parse_endpoint_reply(EndpointApi api, std::string_view body, std::string_view where,
                                   int max_tokens) {
  const Json object = parse_object(body, where);
  EndpointReply reply;
  reply.model = text_or_empty(object, "model");
  reply.fingerprint = text_or_empty(object, "system_fingerprint");
  const Json* usage = member(object, "usage");
  reply.prompt_tokens = count_or_zero(usage, "prompt_tokens");
  reply.completion_tokens = count_or_zero(usage, "completion_tokens");
  const Json& choices = list_at(object, "choices", where);
  if (choices.empty()) {
    reply.kind = AnswerKind::kEmpty;
    return reply;
  }
  if (!choices.front().is_object()) {
    fail(ErrorCode::kCorruptData, "[{}] \"choices\" holds a {}", where,
         choices.front().type_name());
  }
  const Json& choice = choices.front();
  reply.finish = text_or_empty(choice, "finish_reason");
  const Ending ending = ending_of(reply.finish);
  if (ending == Ending::kFailed) {
    fail(ErrorCode::kCorruptData, "[{}] the answer ended with \"{}\"", where, shown(reply.finish));
  }
  const Json* logprobs = member(choice, "logprobs");
  Content content;
  bool calls = ending == Ending::kTools;
  if (api == EndpointApi::kCompletions) {
    const Json* text = member(choice, "text");
    if (!choice.contains("text") || (text != nullptr && !text->is_string())) {
      fail(ErrorCode::kCorruptData, "[{}] the answer has no text", where);
    }
    if (text != nullptr) content.text = text->get<std::string>();
    if (logprobs != nullptr) reply.tokens = completion_tokens(*logprobs, where);
    if (const Json* scored = member(choice, "prompt_logprobs");
        scored != nullptr && scored->is_array())
      reply.given = tokens_of_prompt(body, where);
  } else {
    const Json* message = member(choice, "message");
    if (!choice.contains("message") || (message != nullptr && !message->is_object())) {
      fail(ErrorCode::kCorruptData, "[{}] the answer has no message", where);
    }
    if (message != nullptr) {
      content = content_of(*message, where);
      calls = calls || calls_tools(*message);
    }
    const Json* entries = logprobs == nullptr ? nullptr : member(*logprobs, "content");
    if (entries != nullptr && entries->is_array()) reply.tokens = chat_tokens(*entries, where);
  }
  const bool cut = ending == Ending::kLength || (ending == Ending::kUnknown && max_tokens > 0 &&
                                                 reply.completion_tokens >= max_tokens);
  JudgedAnswer judged = judge_answer(content.text, cut);
  reply.text = std::move(judged.text);
  reply.reasoning = std::string(trimmed(content.reasoning));
  if (!judged.reasoning.empty()) {
    reply.reasoning += (reply.reasoning.empty() ? "" : "\n\n") + judged.reasoning;
  }
  reply.kind = judged.kind;
  if (!reply.reasoning.empty() && trimmed(reply.text).empty()) reply.kind = AnswerKind::kReasoning;
  if (calls) reply.kind = AnswerKind::kToolCalls;
  if (ending == Ending::kFilter || !trimmed(content.refusal).empty())
    reply.kind = AnswerKind::kFiltered;
  return reply;
}

namespace {

EndpointFault fault_of(const Json& object) {
  const Json* error = member(object, "error");
  if (error != nullptr && error->is_string()) return {shown(error->get<std::string>()), "", ""};
  const Json& holder = error != nullptr && error->is_object() ? *error : object;
  EndpointFault fault{shown(text_or_empty(holder, "message")),
                      shown(text_or_empty(holder, "param")), shown(text_or_empty(holder, "code"))};
  if (fault.message.empty()) fault.message = shown(text_or_empty(holder, "detail"));
  for (const char* key : {"code", "status"}) {
    const Json* number = member(holder, key);
    constexpr uint64_t kFirst = 400, kLast = 599;
    if (number == nullptr || !number->is_number_unsigned()) continue;
    const auto value = number->get<uint64_t>();
    if (value >= kFirst && value <= kLast) fault.status = static_cast<int>(value);
  }
  return fault;
}

}  // namespace

std::optional<EndpointFault> fault_within(std::string_view body) {
  const Json object = Json::parse(body, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  const Json* holder = &object;
  if (const Json* choices = member(object, "choices");
      choices != nullptr && choices->is_array() && !choices->empty())
    holder = &choices->front();
  if (member(*holder, "error") == nullptr) return std::nullopt;
  EndpointFault fault = fault_of(*holder);
  if (fault.message.empty()) fault.message = "(no explanation)";
  return fault;
}

EndpointFault parse_endpoint_fault(std::string_view body) {
  const std::string_view start = trimmed(body);
  if (start.empty()) return {"(no explanation)", "", ""};
  if (start.front() == '{') {
    try {
      const Json object = parse_json(body, "error");
      EndpointFault fault = fault_of(object);
      if (!fault.message.empty()) return fault;
    } catch (const Error&) {  // shown as it is
    }
  }
  return {shown(start), "", ""};
}

std::vector<std::string> parse_model_names(std::string_view body, std::string_view where) {
  constexpr size_t kMaxNames = 100;
  const Json object = parse_object(body, where);
  std::vector<std::string> names;
  for (const Json& model : list_at(object, "data", where)) {
    const std::string id = text_or_empty(model, "id");
    if (!id.empty() && names.size() < kMaxNames) names.push_back(id);
  }
  return names;
}

}  // namespace alambic
