// What an OpenAI-compatible endpoint answers, read as what it is: the word of a stranger. HTML,
// half a JSON document, wrong types and endless lists end in one clear line and bounded memory.
//
// Servers differ in how they give a token: its bytes as numbers, its text, or its bytes spelled
// out ("bytes:\xe2\x80"). A token whose bytes nobody can know (a text with U+FFFD) is marked so.
// Reasoning may stand in a field of its own (reasoning_content, reasoning), in a part of the
// content or in the text between <think> and </think>. Thread safety: pure functions. Errors:
// kCorruptData, opening with `where`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/data/signal.h"

namespace alambic {

struct EndpointAlternative {
  std::string bytes;
  bool known = true;  // false: `bytes` is only what could be shown of them
  double log_probability = 0;
};

struct EndpointToken {
  EndpointAlternative chosen;  // log_probability is NaN for a token that nothing predicts
  std::vector<EndpointAlternative> top;
};

struct EndpointReply {
  AnswerKind kind = AnswerKind::kGood;
  std::string text;                   // the answer, without reasoning
  std::string reasoning;              // empty: none was given
  std::string finish;                 // "stop", "length", ...
  std::vector<EndpointToken> tokens;  // of everything that was written, if they were given
  std::vector<EndpointToken> given;   // of the prompt, where it is scored apart (prompt_logprobs)
  int64_t prompt_tokens = 0, completion_tokens = 0;  // 0: not reported
  std::string model, fingerprint;
};

enum class EndpointApi { kChat, kCompletions };

// `max_tokens`: what was asked for; an answer that says neither why it ended nor that it did, and
// is as long as that, was cut off. An answer without choices is an empty one.
EndpointReply parse_endpoint_reply(EndpointApi api, std::string_view body, std::string_view where,
                                   int max_tokens = 0);

// The message of an error body, or the beginning of whatever came instead; one line, bounded.
struct EndpointFault {
  std::string message, param, code;
  int status = 0;  // of HTTP, where the body names one
};
EndpointFault parse_endpoint_fault(std::string_view body);
// Some answer 200 and put the error into the body, or into the choice: that of such a body.
std::optional<EndpointFault> fault_within(std::string_view body);

// The names in an answer to GET /models; at most a hundred.
std::vector<std::string> parse_model_names(std::string_view body, std::string_view where);

}  // namespace alambic
