// The bodies of POST /v1/completions and POST /v1/chat/completions (the OpenAI API, as its clients
// send them in 2026), read and bounded.
//
// Every list and number has a bound. A field that is known and cannot be honoured is refused by
// name; a field that nobody knows is ignored. Null means absent. Thread safety: pure functions.
// Errors: ApiError with status 400 that names the field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/base/token.h"

namespace alambic {

inline constexpr int kMaxTopLogprobs = 20;
inline constexpr int kMaxChoices = 8;

// What both routes have in common.
struct SamplingRequest {
  std::string model;  // empty: whatever is served
  bool stream = false;
  bool include_usage = false;  // in a stream
  std::optional<int> max_tokens;
  double temperature = 1, top_p = 1;
  int top_k = 0;                 // 0: all
  std::optional<uint64_t> seed;  // absent: another one each time
  std::vector<std::string> stop;
  int choices = 1;
  bool logprobs = false;
  int top_logprobs = 0;
  // This server's own field: 1 loses nothing, 0 is the fastest (decode/quality.h). Absent: as the
  // server was started.
  std::optional<double> quality;
};

struct CompletionRequest {
  SamplingRequest sampling;
  std::vector<std::variant<std::string, std::vector<TokenId>>> prompts;
  bool echo = false;
};

struct ChatRequest {
  SamplingRequest sampling;
  // [{"role": system, user or assistant, "content": text}, ...]; parts of text are joined.
  OrderedJson messages;
  OrderedJson variables = OrderedJson::object();  // "chat_template_kwargs", for the template
};

CompletionRequest parse_completion_request(std::string_view body);
ChatRequest parse_chat_request(std::string_view body);

}  // namespace alambic
