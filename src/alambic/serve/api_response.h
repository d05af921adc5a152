// Answers in the words of the OpenAI API: whole bodies, stream events, and the framing of
// server-sent events. Thread safety: const. Nothing here throws.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/serve/api_request.h"
#include "alambic/serve/choice_writer.h"

namespace alambic {

struct ChoiceResult {
  std::string text;
  std::vector<TokenRecord> tokens;
  std::string finish;  // "stop" or "length"; empty while it is written
};

struct TokenUsage {
  int64_t prompt = 0, completion = 0;
};

// What tokens are called where log-probabilities are shown.
struct TokenTexts {
  std::function<std::string(TokenId)> bytes;    // what it adds to a text
  std::function<std::string(TokenId)> content;  // its name, where that is nothing
};
TokenTexts token_texts(const Tokenizer& tokenizer);

class ResponseFormat {
 public:
  ResponseFormat(ApiRoute route, TokenTexts tokens, std::string model,
                 const SamplingRequest& request);

  OrderedJson whole(const std::vector<ChoiceResult>& choices, const TokenUsage& usage) const;
  // Stream chunks: the first one of a chat choice names the role; `part` holds what is new. Where
  // usage_chunk() is to come, those before it have a usage of null.
  OrderedJson opening(int choice) const;
  OrderedJson chunk(int choice, const ChoiceResult& part) const;
  OrderedJson usage_chunk(const TokenUsage& usage) const;

 private:
  OrderedJson envelope(const char* object) const;
  OrderedJson chunk_envelope() const;
  OrderedJson logprobs(const std::vector<TokenRecord>& tokens) const;
  OrderedJson chat_entry(TokenId token, const std::string& bytes, double log_probability) const;
  std::string name_of(TokenId token, const std::string& bytes) const;

  ApiRoute route_;
  TokenTexts tokens_;
  std::string model_, id_;
  int64_t created_;
  bool logprobs_, include_usage_;
};

// "data: {...}\n\n"
std::string sse_event(const OrderedJson& data);
inline constexpr const char* kSseType = "text/event-stream; charset=utf-8";
inline constexpr std::string_view kSseDone = "data: [DONE]\n\n";
inline constexpr std::string_view kSsePing = ": ping\n\n";

}  // namespace alambic
