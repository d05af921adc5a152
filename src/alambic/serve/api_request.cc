#include "alambic/serve/api_request.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "alambic/serve/api_fields.h"

namespace alambic {
namespace {

constexpr size_t kMaxStops = 4, kMaxStopBytes = 256;
constexpr size_t kMaxPrompts = 32, kMaxMessages = 4096;
constexpr int kMaxTokens = 1 << 24;
constexpr std::string_view kReservedVariables[] = {"messages",
                                                   "conversation",
                                                   "tools",
                                                   "documents",
                                                   "add_generation_prompt",
                                                   "continue_final_message",
                                                   "chat_template",
                                                   "tokenize",
                                                   "raise_exception",
                                                   "strftime_now"};

// NaN, Infinity and 1e999, which files may hold and requests may not.
bool holds_endless_number(const OrderedJson& value) {
  if (value.is_structured()) return std::any_of(value.begin(), value.end(), holds_endless_number);
  return is_written_number(value) && !std::isfinite(written_value(number_text(value)));
}

OrderedJson parse_body(std::string_view body) {
  OrderedJson value;
  try {
    value = parse_ordered_json(body, "body");
  } catch (const Error& error) {
    throw ApiError(400, error.what());
  }
  if (!value.is_object()) throw ApiError(400, "[body] want a JSON object");
  if (holds_endless_number(value)) {
    throw ApiError(400, "[body] holds NaN, Infinity or a number as large; want finite numbers");
  }
  return value;
}

std::vector<std::string> parse_stop(Fields& fields) {
  const OrderedJson* value = fields.find("stop");
  std::vector<std::string> stops;
  if (value == nullptr) return stops;
  const auto add = [&](const OrderedJson& item) {
    if (!item.is_string()) refuse("stop", "got {}, want strings", shown(item));
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
  for (const OrderedJson& item : *value) add(item);
  return stops;
}

void parse_stream(Fields& fields, SamplingRequest& s) {
  s.stream = fields.boolean("stream", false);
  const OrderedJson* object = fields.find("stream_options");
  if (object == nullptr) return;
  if (!object->is_object()) refuse("stream_options", "want an object");
  if (!s.stream) refuse("stream_options", "is for requests with stream = true");
  Fields options(*object, "stream_options.");
  s.include_usage = options.boolean("include_usage", false);
  options.refuse_unsupported({{"continuous_usage_stats", {"false"}}});
  options.let_pass({"include_obfuscation"});  // padding against eavesdroppers
  options.refuse_unknown();
}

// What other servers can do and this one cannot.
void refuse_constraints(Fields& fields) {
  // Only some shapes of text would do as an answer.
  fields.refuse_unsupported({{"response_format", {R"({"type":"text"})"}},
                             {"json_schema", {}},
                             {"grammar", {R"("")"}},
                             {"grammar_lazy", {"false"}},
                             {"regex", {R"("")"}},
                             {"format", {R"("")"}},
                             {"structured_outputs", {}},
                             {"guided_json", {}},
                             {"guided_regex", {R"("")"}},
                             {"guided_choice", {"[]"}},
                             {"guided_grammar", {R"("")"}},
                             {"guided_json_object", {"false"}},
                             {"bad_words", {"[]"}},
                             {"allowed_token_ids", {"[]"}},
                             {"stop_token_ids", {"[]"}},
                             {"ignore_eos", {"false"}},
                             {"min_tokens", {"0"}},
                             {"logit_bias", {"{}", "[]"}},
                             {"logits_processors", {"[]"}},
                             {"truncate_prompt_tokens", {}}});
  // Other ways to draw.
  fields.refuse_unsupported({{"presence_penalty", {"0"}},
                             {"frequency_penalty", {"0"}},
                             {"repetition_penalty", {"1"}},
                             {"repeat_penalty", {"1"}},
                             {"length_penalty", {"1"}},
                             {"dry_multiplier", {"0"}},
                             {"no_repeat_ngram_size", {"0"}},
                             {"min_p", {"0"}},
                             {"typical_p", {"1"}},
                             {"typ_p", {"1"}},
                             {"tfs_z", {"1"}},
                             {"top_a", {"0"}},
                             {"top_n_sigma", {"-1", "0"}},
                             {"xtc_probability", {"0"}},
                             {"mirostat", {"0"}},
                             {"mirostat_mode", {"0"}},
                             {"dynatemp_range", {"0"}},
                             {"use_beam_search", {"false"}},
                             {"early_stopping", {"false"}},
                             {"do_sample", {"true"}}});
  // Other things to show.
  fields.refuse_unsupported({{"prompt_logprobs", {"0"}},
                             {"include_stop_str_in_output", {"false"}},
                             {"skip_special_tokens", {"true"}},
                             {"spaces_between_special_tokens", {"true"}},
                             {"return_token_ids", {"false"}},
                             {"return_tokens_as_token_ids", {"false"}}});
}

void let_harmless_pass(Fields& fields) {
  fields.let_pass({"user", "metadata", "store", "service_tier", "parallel_tool_calls",
                   "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
                   "cache_prompt", "cache_salt", "priority", "request_id", "timings_per_token",
                   "return_progress"});
  // They say how other fields act that are refused unless they do nothing.
  fields.let_pass({"repeat_last_n", "dry_base", "dry_allowed_length", "dry_penalty_last_n",
                   "dry_sequence_breakers", "xtc_threshold", "mirostat_tau", "mirostat_eta",
                   "dynatemp_exponent"});
}

SamplingRequest parse_sampling(Fields& fields) {
  refuse_constraints(fields);
  let_harmless_pass(fields);
  SamplingRequest s;
  s.model = fields.text("model");
  parse_stream(fields, s);
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

std::vector<TokenId> token_list(const OrderedJson& value) {
  std::vector<TokenId> tokens;
  tokens.reserve(value.size());
  for (const OrderedJson& item : value) {
    const auto id = whole_number(item);
    if (!id || *id < 0 || *id > std::numeric_limits<TokenId>::max()) {
      refuse("prompt", "got {} among token ids", shown(item));
    }
    tokens.push_back(static_cast<TokenId>(*id));
  }
  return tokens;
}

// A string, strings, token ids, or lists of token ids.
void parse_prompts(const OrderedJson* value, CompletionRequest& request) {
  if (value == nullptr) refuse("prompt", "is missing");
  if (value->is_string()) {
    request.prompts.emplace_back(value->get<std::string>());
    return;
  }
  if (!value->is_array() || value->empty()) {
    refuse("prompt", "got {}, want a string, strings or token ids", shown(*value));
  }
  if (is_any_number(value->front())) {
    request.prompts.emplace_back(token_list(*value));
    return;
  }
  if (value->size() > kMaxPrompts) {
    refuse("prompt", "got {} prompts, want at most {}", value->size(), kMaxPrompts);
  }
  for (const OrderedJson& item : *value) {
    if (item.is_string()) {
      request.prompts.emplace_back(item.get<std::string>());
    } else if (item.is_array() && !item.empty()) {
      request.prompts.emplace_back(token_list(item));
    } else {
      refuse("prompt", "got {}, want a string, strings or token ids", shown(item));
    }
  }
}

std::string joined_parts(const OrderedJson& parts, const std::string& where) {
  std::string text;
  for (const OrderedJson& part : parts) {
    const bool is_text = part.is_object() && part.contains("text") && part.at("text").is_string() &&
                         part.value("type", OrderedJson("text")) == "text";
    if (!is_text) refuse(where, "holds a part that is not text; this server reads text only");
    text += part.at("text").get<std::string>();
  }
  return text;
}

// Arguments are an object for templates; clients send it as JSON in a text.
OrderedJson parse_tool_calls(const OrderedJson& list, const std::string& where) {
  if (!list.is_array()) refuse(where, "got {}, want a list", shown(list));
  OrderedJson calls = list;
  for (OrderedJson& call : calls) {
    const bool named = call.is_object() && call.contains("function") &&
                       call["function"].is_object() && call["function"].contains("name") &&
                       call["function"]["name"].is_string();
    if (!named) refuse(where, "want objects with a function that has a name");
    OrderedJson& arguments = call["function"]["arguments"];
    if (!arguments.is_string()) continue;
    try {
      OrderedJson object = parse_ordered_json(arguments.get_ref<const std::string&>(), where);
      if (object.is_object()) arguments = std::move(object);
    } catch (const Error&) {  // what is no JSON stays text
    }
  }
  return calls;
}

// Whether a tool may speak behind these: it answers a call.
bool calls_tools(const OrderedJson& messages) {
  if (messages.empty()) return false;
  const OrderedJson& last = messages.back();
  return last.contains("tool_calls") || last["role"] == "tool";
}

OrderedJson parse_message(const OrderedJson& message, const std::string& where, bool after_calls) {
  if (!message.is_object()) refuse(where, "want an object");
  Fields fields(message, where + ".");
  std::string role = fields.text("role");
  if (role == "developer") role = "system";
  if (role != "system" && role != "user" && role != "assistant" && role != "tool") {
    refuse(where + ".role", "got {}, want system, user, assistant or tool",
           shown(message.value("role", OrderedJson())));
  }
  if (role == "tool" && !after_calls) {
    refuse(where + ".role", "a tool answers an assistant's tool_calls; there are none before it");
  }
  // The first two have a server go on with this message.
  fields.refuse_unsupported(
      {{"prefix", {"false"}}, {"partial", {"false"}}, {"function_call", {"{}"}}, {"audio", {}}});
  OrderedJson parsed = {{"role", role}, {"content", ""}};
  if (const OrderedJson* calls = fields.find("tool_calls"); calls != nullptr && !calls->empty()) {
    if (role != "assistant") refuse(where + ".tool_calls", "only an assistant calls tools");
    parsed["tool_calls"] = parse_tool_calls(*calls, where + ".tool_calls");
  }
  const OrderedJson* content = fields.find("content");
  if (content == nullptr) {
    // An assistant may have said nothing, or called tools instead.
    if (role != "assistant") refuse(where + ".content", "is missing; want text");
  } else if (content->is_array()) {
    parsed["content"] = joined_parts(*content, where + ".content");
  } else {
    parsed["content"] = fields.text("content");
  }
  // Whatever else stands here is for the template.
  for (const auto& [key, value] : message.items()) {
    const bool nothing = value.is_null() || (key == "tool_calls" && value.empty());
    if (!parsed.contains(key) && !nothing) parsed[key] = value;
  }
  return parsed;
}

OrderedJson parse_messages(const OrderedJson* value) {
  if (value == nullptr || !value->is_array() || value->empty()) {
    refuse("messages", "want a list of at least one message");
  }
  if (value->size() > kMaxMessages) {
    refuse("messages", "got {} messages, want at most {}", value->size(), kMaxMessages);
  }
  OrderedJson messages = OrderedJson::array();
  for (const OrderedJson& message : *value) {
    messages.push_back(parse_message(message, fmt::format("messages[{}]", messages.size()),
                                     calls_tools(messages)));
  }
  return messages;
}

// Variables for the template, which must not stand in for the conversation or for what the server
// itself says to the template.
OrderedJson parse_variables(Fields& fields) {
  constexpr const char* kField = "chat_template_kwargs";
  const OrderedJson* value = fields.find(kField);
  if (value == nullptr) return OrderedJson::object();
  if (!value->is_object()) refuse(kField, "want an object");
  for (const auto& [key, item] : value->items()) {
    const bool reserved = std::find(std::begin(kReservedVariables), std::end(kReservedVariables),
                                    key) != std::end(kReservedVariables);
    if (reserved || key.ends_with("_token")) {
      refuse(fmt::format("{}.{}", kField, key), "is not for a request to set; leave it out");
    }
  }
  return *value;
}

}  // namespace

CompletionRequest parse_completion_request(std::string_view body) {
  constexpr int kDefaultTokens = 16;  // as the API has it
  const OrderedJson object = parse_body(body);
  Fields fields(object);
  CompletionRequest request;
  SamplingRequest& s = request.sampling;
  s = parse_sampling(fields);
  fields.refuse_unsupported({{"suffix", {R"("")"}}, {"add_special_tokens", {"true"}}});
  const auto limit = fields.integer("max_tokens", 0, kMaxTokens);
  s.max_tokens = static_cast<int>(limit.value_or(kDefaultTokens));
  s.default_tokens = !limit;
  request.echo = fields.boolean("echo", false);
  if (const auto top = fields.integer("logprobs", 0, kMaxTopLogprobs)) {
    s.logprobs = true;
    s.top_logprobs = static_cast<int>(*top);
  }
  if (fields.integer("best_of", 1, kMaxChoices).value_or(s.choices) != s.choices) {
    refuse("best_of", "is supported only where it equals n");
  }
  parse_prompts(fields.find("prompt"), request);
  fields.refuse_unknown();
  return request;
}

ChatRequest parse_chat_request(std::string_view body) {
  const OrderedJson object = parse_body(body);
  Fields fields(object);
  ChatRequest request;
  SamplingRequest& s = request.sampling;
  s = parse_sampling(fields);
  fields.refuse_unsupported({{"tools", {"[]"}},
                             {"functions", {"[]"}},
                             {"tool_choice", {R"("none")", R"("auto")"}},
                             {"function_call", {R"("none")", R"("auto")"}},
                             {"continue_final_message", {"false"}},
                             {"add_generation_prompt", {"true"}},
                             {"add_special_tokens", {"false"}},
                             {"echo", {"false"}},
                             {"chat_template", {}},
                             {"documents", {"[]"}},
                             {"reasoning_effort", {}},
                             {"verbosity", {R"("medium")"}},
                             {"audio", {}},
                             {"modalities", {R"(["text"])"}},
                             {"prediction", {}},
                             {"web_search_options", {}}});
  s.logprobs = fields.boolean("logprobs", false);
  if (const auto top = fields.integer("top_logprobs", 0, kMaxTopLogprobs)) {
    if (*top > 0 && !s.logprobs) refuse("top_logprobs", "wants logprobs = true");
    s.top_logprobs = static_cast<int>(*top);
  }
  const auto limit = fields.integer("max_tokens", 1, kMaxTokens);
  const auto newer = fields.integer("max_completion_tokens", 1, kMaxTokens);
  if (limit && newer && *limit != *newer) {
    refuse("max_completion_tokens", "differs from max_tokens; give one of them");
  }
  if (limit || newer) s.max_tokens = static_cast<int>(newer ? *newer : *limit);
  request.messages = parse_messages(fields.find("messages"));
  request.variables = parse_variables(fields);
  fields.refuse_unknown();
  return request;
}

}  // namespace alambic
