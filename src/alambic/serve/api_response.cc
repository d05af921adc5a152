#include "alambic/serve/api_response.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <random>

#include "alambic/text/unicode.h"

namespace alambic {
namespace {

std::string random_name(const char* prefix) {
  std::random_device device;
  return fmt::format("{}-{:08x}{:08x}{:08x}", prefix, device(), device(), device());
}

// JSON has no infinity, and clients want a number.
OrderedJson finite(double log_probability) {
  constexpr double kNever = -9999;
  if (std::isnan(log_probability)) return nullptr;
  return std::max(log_probability, kNever);
}

bool is_utf8(const std::string& bytes) { return to_valid_utf8(bytes) == bytes; }

OrderedJson to_json(const TokenUsage& usage) {
  return {{"prompt_tokens", usage.prompt},
          {"completion_tokens", usage.completion},
          {"total_tokens", usage.prompt + usage.completion}};
}

OrderedJson finish_or_null(const ChoiceResult& choice) {
  return choice.finish.empty() ? OrderedJson(nullptr) : OrderedJson(choice.finish);
}

}  // namespace

std::string sse_event(const OrderedJson& data) { return "data: " + dump_json(data) + "\n\n"; }

TokenTexts token_texts(const Tokenizer& tokenizer) {
  return {[tokenizer](TokenId token) { return tokenizer.token_bytes(token); },
          [tokenizer](TokenId token) { return tokenizer.token_content(token); }};
}

ResponseFormat::ResponseFormat(ApiRoute route, TokenTexts tokens, std::string model,
                               const SamplingRequest& request)
    : route_(route),
      tokens_(std::move(tokens)),
      model_(std::move(model)),
      id_(random_name(route == ApiRoute::kChat ? "chatcmpl" : "cmpl")),
      created_(static_cast<int64_t>(std::time(nullptr))),
      logprobs_(request.logprobs),
      include_usage_(request.include_usage) {}

OrderedJson ResponseFormat::envelope(const char* object) const {
  return {{"id", id_},
          {"object", object},
          {"created", created_},
          {"model", model_},
          {"choices", OrderedJson::array()}};
}

OrderedJson ResponseFormat::chunk_envelope() const {
  OrderedJson body =
      envelope(route_ == ApiRoute::kChat ? "chat.completion.chunk" : "text_completion");
  if (include_usage_) body["usage"] = nullptr;
  return body;
}

// A token that is part of a character has no text of its own; its bytes are spelled out.
std::string ResponseFormat::name_of(TokenId token, const std::string& bytes) const {
  if (bytes.empty()) return to_valid_utf8(tokens_.content(token));
  if (is_utf8(bytes)) return bytes;
  std::string name = "bytes:";
  for (const char c : bytes) name += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return name;
}

OrderedJson ResponseFormat::chat_entry(TokenId token, const std::string& bytes,
                                       double log_probability) const {
  OrderedJson list = OrderedJson::array();
  for (const char c : bytes) list.push_back(static_cast<unsigned char>(c));
  return {{"token", name_of(token, bytes)},
          {"logprob", finite(log_probability)},
          {"bytes", bytes.empty() ? OrderedJson(nullptr) : list}};
}

OrderedJson ResponseFormat::logprobs(const std::vector<TokenRecord>& tokens) const {
  if (!logprobs_) return nullptr;
  if (route_ == ApiRoute::kChat) {
    OrderedJson content = OrderedJson::array();
    for (const TokenRecord& record : tokens) {
      OrderedJson entry =
          chat_entry(record.scored.token, record.bytes, record.scored.log_probability);
      entry["top_logprobs"] = OrderedJson::array();
      for (const Choice& other : record.scored.top) {
        const std::string& bytes =
            other.token == record.scored.token ? record.bytes : tokens_.bytes(other.token);
        entry["top_logprobs"].push_back(chat_entry(other.token, bytes, other.log_probability));
      }
      content.push_back(std::move(entry));
    }
    return {{"content", std::move(content)}};
  }
  OrderedJson lists = {{"tokens", OrderedJson::array()},
                       {"token_logprobs", OrderedJson::array()},
                       {"top_logprobs", OrderedJson::array()},
                       {"text_offset", OrderedJson::array()}};
  for (const TokenRecord& record : tokens) {
    const std::string name = name_of(record.scored.token, record.bytes);
    const double own = record.scored.log_probability;
    lists["tokens"].push_back(name);
    lists["token_logprobs"].push_back(finite(own));
    lists["text_offset"].push_back(record.offset);
    if (std::isnan(own)) {
      lists["top_logprobs"].push_back(nullptr);
      continue;
    }
    OrderedJson top = OrderedJson::object();
    // Two tokens may share a name; the more probable one, which comes first, keeps it.
    for (const Choice& other : record.scored.top) {
      top.emplace(other.token == record.scored.token
                      ? name
                      : name_of(other.token, tokens_.bytes(other.token)),
                  finite(other.log_probability));
    }
    top.emplace(name, finite(own));
    lists["top_logprobs"].push_back(std::move(top));
  }
  return lists;
}

OrderedJson ResponseFormat::whole(const std::vector<ChoiceResult>& choices,
                                  const TokenUsage& usage) const {
  const bool chat = route_ == ApiRoute::kChat;
  OrderedJson body = envelope(chat ? "chat.completion" : "text_completion");
  for (size_t i = 0; i < choices.size(); ++i) {
    OrderedJson choice = {{"index", i}};
    if (chat) {
      choice["message"] = {
          {"role", "assistant"}, {"content", choices[i].text}, {"refusal", nullptr}};
    } else {
      choice["text"] = choices[i].text;
    }
    choice["logprobs"] = logprobs(choices[i].tokens);
    choice["finish_reason"] = finish_or_null(choices[i]);
    body["choices"].push_back(std::move(choice));
  }
  body["usage"] = to_json(usage);
  return body;
}

OrderedJson ResponseFormat::opening(int choice) const {
  OrderedJson body = chunk_envelope();
  body["choices"].push_back({{"index", choice},
                             {"delta", {{"role", "assistant"}, {"content", ""}}},
                             {"logprobs", nullptr},
                             {"finish_reason", nullptr}});
  return body;
}

OrderedJson ResponseFormat::chunk(int index, const ChoiceResult& part) const {
  const bool chat = route_ == ApiRoute::kChat;
  OrderedJson body = chunk_envelope();
  OrderedJson choice = {{"index", index}};
  if (chat) {
    choice["delta"] = OrderedJson::object();
    if (!part.text.empty()) choice["delta"]["content"] = part.text;
  } else {
    choice["text"] = part.text;
  }
  choice["logprobs"] = part.tokens.empty() ? OrderedJson(nullptr) : logprobs(part.tokens);
  choice["finish_reason"] = finish_or_null(part);
  body["choices"].push_back(std::move(choice));
  return body;
}

OrderedJson ResponseFormat::usage_chunk(const TokenUsage& usage) const {
  OrderedJson body = chunk_envelope();
  body["usage"] = to_json(usage);
  return body;
}

}  // namespace alambic
