// What is said to an OpenAI-compatible endpoint, and what its answers mean for the one who asked:
// good, ask again later, this question is refused, or nothing will help. No network here.
//
// Thread safety: pure functions. Errors: kInvalidArgument for options that cannot be carried out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/rng.h"
#include "alambic/data/signal.h"
#include "alambic/distill/asking.h"
#include "alambic/distill/endpoint_reply.h"
#include "alambic/distill/http_client.h"

namespace alambic {

struct EndpointOptions {
  std::string url;           // up to and without /chat/completions: https://host/v1
  std::string model;         // as it is served; empty: the only one there
  std::string api = "auto";  // chat, completions, or auto: chat where there is one
  std::string key;           // the key itself; empty: none
  Telling telling;           // in front of every conversation, and around what its user says last
  std::vector<std::string> labels;  // answers are one of them, or left out; empty: any answer
  bool keep_reasoning = false;      // <think>…</think> in front of the stored text
  bool keep_cut = false;            // answers that ran into a limit are rows like the others

  int concurrency = 8;             // calls at once
  double requests_per_minute = 0;  // 0: no limit of ours
  double timeout_seconds = 120;    // of a call
  int retries = 8;                 // of a call, before the run stops
  double backoff_seconds = 0.5;    // before the first retry; doubles

  int64_t max_total_tokens = 0;        // asked and written, in all; 0: no cap
  double max_cost = 0;                 // in the currency of the prices; 0: no cap
  double price_in = 0, price_out = 0;  // of a million tokens

  SignalKind kind = SignalKind::kText;
  int count = 0;                // k
  double text_temperature = 0;  // of the texts
  int max_new_tokens = 128;     // of a text, as the endpoint counts
  int max_tokens = 512;         // prompt and answer, in the student's tokens
  uint64_t seed = 1;
};

void validate_endpoint_options(const EndpointOptions& options);

// What an endpoint was found to do, and how it wants to be asked.
struct EndpointProfile {
  EndpointApi api = EndpointApi::kChat;
  std::string model;
  bool newer_limit = false;  // "max_completion_tokens" instead of "max_tokens"
  bool takes_seed = true;
  bool takes_temperature = true;
  bool sampled = false;  // log-probabilities of what it writes
  int top = 0;           // log-probabilities of so many alternatives
  int echo_tokens = -1;  // it scores a given text, writing so many tokens behind it; -1: it cannot
  bool scores_prompts = false;  // not by echo: "prompt_logprobs" (vLLM)
  std::string fingerprint;

  std::string summary() const;
};

struct EndpointQuestion {
  OrderedJson messages;  // of a chat: messages_to_ask(); a text is one user's message
  std::string prompt;    // of a completion
  OrderedJson tools;     // null for none
  uint64_t seed = 0;
  int max_tokens = 1;
  int top = 0;  // alternatives wanted; 0: no log-probabilities
};

HttpCall text_call(const EndpointOptions& options, const EndpointProfile& profile,
                   const EndpointQuestion& question);
// The endpoint scores `text` as it stands; always by way of /completions.
HttpCall score_call(const EndpointOptions& options, const EndpointProfile& profile,
                    const std::string& text, int top);
HttpCall models_call(const EndpointOptions& options);

enum class Outcome { kGood, kRetry, kRefused, kHopeless };

struct Verdict {
  Outcome outcome = Outcome::kGood;
  int status = 0;      // of HTTP
  std::string reason;  // of all but kGood; one line
  EndpointReply reply;
  EndpointFault fault;  // of kRefused
};

// `max_tokens` as in parse_endpoint_reply().
Verdict judge(EndpointApi api, const HttpAnswer& answer, std::string_view where,
              int max_tokens = 0);

// Seconds to wait before attempt number `attempt` (1: the first retry): exponential with jitter,
// and never less than what the server asked for, within reason.
double retry_delay(const EndpointOptions& options, int attempt, double retry_after, Rng& rng);

}  // namespace alambic
