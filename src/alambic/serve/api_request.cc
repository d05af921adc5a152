#include "alambic/serve/api_request.h"

#include <cmath>
#include <limits>

#include "alambic/serve/api_error.h"

namespace alambic {
namespace {

constexpr size_t kMaxStops = 4, kMaxStopBytes = 256;
constexpr size_t kMaxPrompts = 32, kMaxMessages = 4096;
constexpr int kMaxTokens = 1 << 24;

template <class... Args>
[[noreturn]] void refuse(const std::string& param, fmt::format_string<Args...> format,
                         Args&&... args) {
  throw ApiError(
      400, fmt::format("{}: {}", param, fmt::format(format, std::forward<Args>(args)...)), param);
}

// The fields of one object. A field that is null counts as absent.
class Fields {
 public:
  explicit Fields(const Json& object, std::string prefix = "")
      : object_(object), prefix_(std::move(prefix)) {}

  std::string name(const char* key) const { return prefix_ + key; }
  const Json* find(const char* key) const {
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  std::optional<int64_t> integer(const char* key, int64_t low, int64_t high) const {
    const Json* value = find(key);
    if (value == nullptr) return std::nullopt;
    const bool whole = value->is_number_integer() &&
                       !(value->is_number_unsigned() &&
                         value->get<uint64_t>() > std::numeric_limits<int64_t>::max());
    if (!whole || value->get<int64_t>() < low || value->get<int64_t>() > high) {
      refuse(name(key), "got {}, want an integer from {} to {}", shown(*value), low, high);
    }
    return value->get<int64_t>();
  }
  double number(const char* key, double fallback, double low, double high) const {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    const double got =
        value->is_number() ? value->get<double>() : std::numeric_limits<double>::quiet_NaN();
    if (!(got >= low && got <= high)) {
      refuse(name(key), "got {}, want a number from {} to {}", shown(*value), low, high);
    }
    return got;
  }
  bool boolean(const char* key, bool fallback) const {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) refuse(name(key), "got {}, want true or false", shown(*value));
    return value->get<bool>();
  }
  std::string text(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr) return {};
    if (!value->is_string()) refuse(name(key), "got {}, want a string", shown(*value));
    return value->get<std::string>();
  }
  static std::string shown(const Json& value) {
    constexpr size_t kShown = 40;
    if (value.is_structured()) return value.is_array() ? "a list" : "an object";
    const std::string text = dump_json(value);
    return text.size() > kShown ? fmt::format("a long {}", value.type_name()) : text;
  }

 private:
  const Json& object_;
  std::string prefix_;
};

Json parse_body(std::string_view body) {
  try {
    Json value = parse_json(body, "body");
    if (value.is_object()) return value;
  } catch (const Error& error) {
    throw ApiError(400, error.what());
  }
  throw ApiError(400, "[body] want a JSON object");
}

// True for the value that says the same as leaving the field out.
bool says_nothing(const Json& value, std::string_view harmless) {
  if (value.is_structured() && value.empty()) return true;
  const Json wanted = Json::parse(harmless);
  return value == wanted;  // 0 and 0.0 are equal
}

// What other servers can do and this one cannot (yet); beside each, the value that asks for
// nothing.
void refuse_unsupported(const Fields& fields,
                        std::initializer_list<std::pair<const char*, const char*>> list) {
  for (const auto& [key, harmless] : list) {
    const Json* value = fields.find(key);
    if (value != nullptr && !says_nothing(*value, harmless)) {
      refuse(fields.name(key), "is not supported by this server; leave it out");
    }
  }
}

std::vector<std::string> parse_stop(const Fields& fields) {
  const Json* value = fields.find("stop");
  std::vector<std::string> stops;
  if (value == nullptr) return stops;
  const auto add = [&](const Json& item) {
    if (!item.is_string()) refuse("stop", "got {}, want strings", Fields::shown(item));
    stops.push_back(item.get<std::string>());
    if (stops.back().empty() || stops.back().size() > kMaxStopBytes) {
      refuse("stop", "got {} bytes, want 1 to {}", stops.back().size(), kMaxStopBytes);
    }
  };
  if (!value->is_array()) {
    add(*value);
    return stops;
  }
  if (value->size() > kMaxStops) {
    refuse("stop", "got {} strings, want at most {}", value->size(), kMaxStops);
  }
  for (const Json& item : *value) add(item);
  return stops;
}

SamplingRequest parse_sampling(const Fields& fields) {
  refuse_unsupported(fields, {{"presence_penalty", "0"},
                              {"frequency_penalty", "0"},
                              {"repetition_penalty", "1"},
                              {"logit_bias", "{}"},
                              {"response_format", "{\"type\":\"text\"}"},
                              {"min_p", "0"},
                              {"min_tokens", "0"},
                              {"stop_token_ids", "[]"},
                              {"ignore_eos", "false"},
                              {"use_beam_search", "false"},
                              {"prompt_logprobs", "0"},
                              {"guided_json", "{}"},
                              {"guided_regex", "\"\""},
                              {"guided_choice", "[]"},
                              {"guided_grammar", "\"\""}});
  SamplingRequest s;
  s.model = fields.text("model");
  s.stream = fields.boolean("stream", false);
  if (const Json* options = fields.find("stream_options")) {
    if (!options->is_object()) refuse("stream_options", "want an object");
    if (!s.stream) refuse("stream_options", "is for requests with stream = true");
    s.include_usage = Fields(*options, "stream_options.").boolean("include_usage", false);
  }
  s.temperature = fields.number("temperature", 1, 0, 2);
  constexpr double kColdest = 1e-3;  // below, a draw is the most probable token anyway
  if (s.temperature < kColdest) s.temperature = 0;
  s.top_p = fields.number("top_p", 1, 0, 1);
  if (s.top_p <= 0) refuse("top_p", "got 0, want more than 0 and at most 1");
  s.top_k =
      static_cast<int>(std::max<int64_t>(0, fields.integer("top_k", -1, 1 << 28).value_or(0)));
  if (const auto seed = fields.integer("seed", std::numeric_limits<int64_t>::min(),
                                       std::numeric_limits<int64_t>::max())) {
    s.seed = static_cast<uint64_t>(*seed);
  }
  s.stop = parse_stop(fields);
  s.choices = static_cast<int>(fields.integer("n", 1, kMaxChoices).value_or(1));
  if (fields.find("quality") != nullptr) s.quality = fields.number("quality", 1, 0, 1);
  return s;
}

std::vector<TokenId> token_list(const Json& value) {
  std::vector<TokenId> tokens;
  tokens.reserve(value.size());
  for (const Json& item : value) {
    const bool fits =
        item.is_number_unsigned() && item.get<uint64_t>() <= std::numeric_limits<TokenId>::max();
    if (!fits) refuse("prompt", "got {} among token ids", Fields::shown(item));
    tokens.push_back(item.get<TokenId>());
  }
  return tokens;
}

// A string, strings, token ids, or lists of token ids.
void parse_prompts(const Json* value, CompletionRequest& request) {
  if (value == nullptr) refuse("prompt", "is missing");
  if (value->is_string()) {
    request.prompts.emplace_back(value->get<std::string>());
    return;
  }
  if (!value->is_array() || value->empty()) {
    refuse("prompt", "got {}, want a string, strings or token ids", Fields::shown(*value));
  }
  if (value->front().is_number()) {
    request.prompts.emplace_back(token_list(*value));
    return;
  }
  if (value->size() > kMaxPrompts) {
    refuse("prompt", "got {} prompts, want at most {}", value->size(), kMaxPrompts);
  }
  for (const Json& item : *value) {
    if (item.is_string()) {
      request.prompts.emplace_back(item.get<std::string>());
    } else if (item.is_array() && !item.empty()) {
      request.prompts.emplace_back(token_list(item));
    } else {
      refuse("prompt", "got {}, want a string, strings or token ids", Fields::shown(item));
    }
  }
}

std::string content_of(const Json& message, const std::string& where) {
  const auto it = message.find("content");
  if (it == message.end() || it->is_null()) refuse(where, "is missing");
  if (it->is_string()) return it->get<std::string>();
  if (!it->is_array()) refuse(where, "got {}, want text", Fields::shown(*it));
  std::string text;
  for (const Json& part : *it) {
    const bool is_text = part.is_object() && part.contains("text") && part.at("text").is_string() &&
                         part.value("type", Json("text")) == "text";
    if (!is_text) refuse(where, "holds a part that is not text; this server reads text only");
    text += part.at("text").get<std::string>();
  }
  return text;
}

OrderedJson parse_messages(const Json* value) {
  if (value == nullptr || !value->is_array() || value->empty()) {
    refuse("messages", "want a list of at least one message");
  }
  if (value->size() > kMaxMessages) {
    refuse("messages", "got {} messages, want at most {}", value->size(), kMaxMessages);
  }
  OrderedJson messages = OrderedJson::array();
  for (size_t i = 0; i < value->size(); ++i) {
    const Json& message = value->at(i);
    const std::string where = fmt::format("messages[{}]", i);
    if (!message.is_object()) refuse(where, "want an object");
    const Fields fields(message, where + ".");
    std::string role = fields.text("role");
    if (role == "developer") role = "system";
    if (role != "system" && role != "user" && role != "assistant") {
      refuse(where + ".role", "got {}, want system, user or assistant",
             Fields::shown(message.value("role", Json())));
    }
    refuse_unsupported(fields, {{"tool_calls", "[]"}, {"function_call", "{}"}});
    messages.push_back({{"role", role}, {"content", content_of(message, where + ".content")}});
  }
  return messages;
}

}  // namespace

CompletionRequest parse_completion_request(std::string_view body) {
  constexpr int kDefaultTokens = 16;  // as the API has it
  const Json object = parse_body(body);
  const Fields fields(object);
  CompletionRequest request;
  SamplingRequest& s = request.sampling;
  s = parse_sampling(fields);
  refuse_unsupported(fields, {{"suffix", "\"\""}});
  s.max_tokens =
      static_cast<int>(fields.integer("max_tokens", 0, kMaxTokens).value_or(kDefaultTokens));
  request.echo = fields.boolean("echo", false);
  if (const auto top = fields.integer("logprobs", 0, kMaxTopLogprobs)) {
    s.logprobs = true;
    s.top_logprobs = static_cast<int>(*top);
  }
  if (fields.integer("best_of", 1, kMaxChoices).value_or(s.choices) != s.choices) {
    refuse("best_of", "is supported only where it equals n");
  }
  parse_prompts(fields.find("prompt"), request);
  return request;
}

ChatRequest parse_chat_request(std::string_view body) {
  const Json object = parse_body(body);
  const Fields fields(object);
  ChatRequest request;
  SamplingRequest& s = request.sampling;
  s = parse_sampling(fields);
  refuse_unsupported(fields, {{"tools", "[]"},
                              {"functions", "[]"},
                              {"tool_choice", "\"none\""},
                              {"function_call", "\"none\""},
                              {"audio", "{}"},
                              {"modalities", "[\"text\"]"},
                              {"prediction", "{}"},
                              {"web_search_options", "{}"}});
  s.logprobs = fields.boolean("logprobs", false);
  if (const auto top = fields.integer("top_logprobs", 0, kMaxTopLogprobs)) {
    if (!s.logprobs) refuse("top_logprobs", "wants logprobs = true");
    s.top_logprobs = static_cast<int>(*top);
  }
  const auto limit = fields.integer("max_tokens", 1, kMaxTokens);
  const auto newer = fields.integer("max_completion_tokens", 1, kMaxTokens);
  if (limit && newer && *limit != *newer) {
    refuse("max_completion_tokens", "differs from max_tokens; give one of them");
  }
  if (limit || newer) s.max_tokens = static_cast<int>(newer ? *newer : *limit);
  request.messages = parse_messages(fields.find("messages"));
  if (const Json* variables = fields.find("chat_template_kwargs")) {
    if (!variables->is_object()) refuse("chat_template_kwargs", "want an object");
    request.variables = OrderedJson(*variables);
  }
  return request;
}

}  // namespace alambic
