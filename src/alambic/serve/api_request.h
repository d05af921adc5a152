// The bodies of POST /v1/completions and POST /v1/chat/completions (the OpenAI API, as its clients
// send them in 2026), read and bounded.
//
// Every list and number has a bound. A field that cannot be honoured is refused by name, whether
// this server knows it or not, for it might have changed the answer; the known ones that change no
// text pass, and so do values that ask for nothing. Null means absent. Thread safety: pure
// functions. Errors: ApiError with status 400 that names the field.
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

enum class ApiRoute { kCompletions, kChat };

// What both routes have in common.
struct SamplingRequest {
  std::string model;  // empty: whatever is served
  bool stream = false;
  bool include_usage = false;  // in a stream
  std::optional<int> max_tokens;
  bool default_tokens = false;  // max_tokens is the API's, nobody asked for it
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
  // [{"role": system, user, assistant or tool, "content": text, ...}, ...]; parts of text are
  // joined, arguments of tool calls are objects, and what else clients put there is kept.
  OrderedJson messages;
  OrderedJson variables = OrderedJson::object();  // "chat_template_kwargs", for the template
};

CompletionRequest parse_completion_request(std::string_view body);
ChatRequest parse_chat_request(std::string_view body);

}  // namespace alambic
