#include "alambic/distill/endpoint_reply.h"

#include <algorithm>
#include <cmath>
#include <limits>

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

std::string_view trimmed(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
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

// "<think>…</think> answer": some servers leave the reasoning in the text.
void split_reasoning(EndpointReply& reply) {
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  const std::string_view text = reply.text;
  const size_t close = text.find(kClose);
  if (!reply.reasoning.empty() || close == std::string_view::npos) return;
  std::string_view reasoning = trimmed(text.substr(0, close));
  // A template may have written the opening mark itself.
  if (reasoning.starts_with(kOpen)) reasoning = trimmed(reasoning.substr(kOpen.size()));
  const std::string_view answer = trimmed(text.substr(close + kClose.size()));
  reply.reasoning = reasoning;
  reply.text = std::string(answer);
}

int64_t count_or_zero(const Json* usage, const char* key) {
  const Json* value = usage == nullptr ? nullptr : member(*usage, key);
  constexpr uint64_t kSane = uint64_t{1} << 40;
  if (value == nullptr || !value->is_number_unsigned() || value->get<uint64_t>() > kSane) return 0;
  return value->get<int64_t>();
}

}  // namespace

EndpointReply parse_endpoint_reply(EndpointApi api, std::string_view body, std::string_view where) {
  const Json object = parse_object(body, where);
  const Json& choices = list_at(object, "choices", where);
  if (choices.empty() || !choices.front().is_object()) {
    fail(ErrorCode::kCorruptData, "[{}] \"choices\" is empty", where);
  }
  const Json& choice = choices.front();
  EndpointReply reply;
  reply.model = text_or_empty(object, "model");
  reply.fingerprint = text_or_empty(object, "system_fingerprint");
  reply.finish = text_or_empty(choice, "finish_reason");
  const Json* usage = member(object, "usage");
  reply.prompt_tokens = count_or_zero(usage, "prompt_tokens");
  reply.completion_tokens = count_or_zero(usage, "completion_tokens");
  const Json* logprobs = member(choice, "logprobs");
  if (api == EndpointApi::kCompletions) {
    const Json* text = member(choice, "text");
    if (text == nullptr || !text->is_string()) {
      fail(ErrorCode::kCorruptData, "[{}] the answer has no text", where);
    }
    reply.text = text->get<std::string>();
    if (logprobs != nullptr) reply.tokens = completion_tokens(*logprobs, where);
    return reply;
  }
  const Json* message = member(choice, "message");
  if (message == nullptr || !message->is_object()) {
    fail(ErrorCode::kCorruptData, "[{}] the answer has no message", where);
  }
  for (const char* key : {"reasoning_content", "reasoning"}) {
    if (reply.reasoning.empty()) reply.reasoning = text_or_empty(*message, key);
  }
  const Json* content = member(*message, "content");
  if (content != nullptr && !content->is_string()) {
    fail(ErrorCode::kCorruptData, "[{}] the message is a {}; want text", where,
         content->type_name());
  }
  if (content != nullptr) reply.text = content->get<std::string>();
  split_reasoning(reply);
  const Json* entries = logprobs == nullptr ? nullptr : member(*logprobs, "content");
  if (entries != nullptr && entries->is_array()) reply.tokens = chat_tokens(*entries, where);
  return reply;
}

EndpointFault parse_endpoint_fault(std::string_view body) {
  const std::string_view start = trimmed(body);
  if (start.empty()) return {"(no explanation)", "", ""};
  if (start.front() == '{') {
    try {
      const Json object = parse_json(body, "error");
      const Json* error = member(object, "error");
      if (error != nullptr && error->is_string()) return {shown(error->get<std::string>()), "", ""};
      const Json& holder = error != nullptr && error->is_object() ? *error : object;
      EndpointFault fault{shown(text_or_empty(holder, "message")),
                          shown(text_or_empty(holder, "param")),
                          shown(text_or_empty(holder, "code"))};
      if (fault.message.empty()) fault.message = shown(text_or_empty(holder, "detail"));
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
