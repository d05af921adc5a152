#include "alambic/distill/endpoint_protocol.h"

#include <algorithm>
#include <cmath>

#include "alambic/distill/asking.h"
#include "alambic/models/hf_directory.h"

namespace alambic {
namespace {

std::string url_of(const EndpointOptions& options, const char* path) {
  std::string url = options.url;
  while (url.ends_with('/')) url.pop_back();
  return url + path;
}

// Quotas do not come back by waiting a minute.
bool is_exhausted(const EndpointFault& fault) {
  return fault.code == "insufficient_quota" || fault.code == "billing_hard_limit_reached";
}

Outcome outcome_of(int status, const EndpointFault& fault) {
  switch (status) {
    case 429:
      return is_exhausted(fault) ? Outcome::kHopeless : Outcome::kRetry;
    case 408:
    case 409:
    case 425:
      return Outcome::kRetry;
    case 501:
    case 505:
      return Outcome::kHopeless;
    case 400:
    case 413:
    case 422:
      return Outcome::kRefused;
    default:
      return status >= 500 ? Outcome::kRetry : Outcome::kHopeless;
  }
}

// What servers send that know no other way.
bool is_event_stream(std::string_view body) {
  body.remove_prefix(std::min(body.find_first_not_of(" \t\r\n"), body.size()));
  return body.starts_with("data:") || body.starts_with("event:") || body.starts_with(": ");
}

}  // namespace

void validate_endpoint_options(const EndpointOptions& o) {
  constexpr int kMaxConcurrency = 512;
  const auto want = [](bool ok, const char* key, const std::string& got, const char* wanted) {
    if (!ok) fail(ErrorCode::kInvalidArgument, "[teacher.{}] got {}; want {}", key, got, wanted);
  };
  const size_t authority = o.url.find("://");
  want(o.url.starts_with("http://") || o.url.starts_with("https://"), "endpoint",
       "\"" + o.url + "\"", "http://… or https://…, up to /v1");
  const size_t path = o.url.find('/', authority + 3);
  want(o.url.substr(0, path).find('@') == std::string::npos, "endpoint", "a name and password",
       "none: the key comes from the environment, see teacher.api_key_env");
  want(o.url.find_first_of(" \t\r\n?#") == std::string::npos, "endpoint", "\"" + o.url + "\"",
       "a plain base URL");
  want(o.api == "auto" || o.api == "chat" || o.api == "completions", "api", "\"" + o.api + "\"",
       "auto, chat or completions");
  want(std::all_of(o.key.begin(), o.key.end(), [](char c) { return c > ' ' && c < '\x7f'; }),
       "api_key_env", "a value with spaces or control characters", "a key");
  want(o.concurrency >= 1 && o.concurrency <= kMaxConcurrency, "concurrency",
       std::to_string(o.concurrency), "1 to 512");
  want(o.timeout_seconds >= 0.1 && o.timeout_seconds <= 86400, "timeout",
       fmt::format("{}", o.timeout_seconds), "0.1 to 86400 seconds");
  want(o.telling.prompt_template.find("{prompt}") != std::string::npos, "prompt_template",
       "\"" + o.telling.prompt_template + "\"", "a text with {prompt} in it");
  want(o.max_cost == 0 || o.price_in > 0 || o.price_out > 0, "max_cost",
       fmt::format("{}", o.max_cost), "prices too: price_per_million_in, price_per_million_out");
  want(o.kind != SignalKind::kDraws, "endpoint", "signals.kind = \"draws\"",
       "\"text\" or \"topk\": no endpoint gives unbiased draws");
}

std::string EndpointProfile::summary() const {
  std::string line = fmt::format("{} by way of {}: texts", model,
                                 api == EndpointApi::kChat ? "chat" : "completions");
  if (sampled) line += ", log-probabilities of the tokens written";
  if (top > 0) line += fmt::format(", of the {} most probable", top);
  if (echo_tokens >= 0) line += ", of given texts";
  return line;
}

HttpCall text_call(const EndpointOptions& options, const EndpointProfile& profile,
                   const EndpointQuestion& question) {
  const bool chat = profile.api == EndpointApi::kChat;
  OrderedJson body = {{"model", profile.model}, {"stream", false}};
  if (chat) {
    body["messages"] = api_messages(told_messages(question.messages, options.telling));
    if (!question.tools.is_null()) body["tools"] = question.tools;
  } else {
    body["prompt"] = told_text(question.prompt, options.telling);
  }
  body[chat && profile.newer_limit ? "max_completion_tokens" : "max_tokens"] = question.max_tokens;
  if (profile.takes_temperature) body["temperature"] = options.text_temperature;
  if (profile.takes_seed) body["seed"] = question.seed;
  if (question.top > 0 && chat) {
    body["logprobs"] = true;
    body["top_logprobs"] = question.top;
  } else if (question.top > 0) {
    body["logprobs"] = question.top;
  }
  return {url_of(options, chat ? "/chat/completions" : "/completions"), dump_json(body)};
}

HttpCall score_call(const EndpointOptions& options, const EndpointProfile& profile,
                    const std::string& text, int top) {
  Json body = {{"model", profile.model},
               {"prompt", text},
               {"temperature", 0},
               {"stream", false},
               {"max_tokens", std::max(0, profile.echo_tokens)}};
  if (profile.scores_prompts) {
    body["prompt_logprobs"] = top;
  } else {
    body["echo"] = true;
    body["logprobs"] = top;
  }
  return {url_of(options, "/completions"), dump_json(body)};
}

HttpCall models_call(const EndpointOptions& options) { return {url_of(options, "/models"), ""}; }

Verdict judge(EndpointApi api, const HttpAnswer& answer, std::string_view where, int max_tokens) {
  Verdict verdict;
  verdict.status = answer.status;
  const auto decide = [&](Outcome outcome, const std::string& what) {
    verdict.outcome = outcome;
    verdict.reason = fmt::format("[{}] {}", where, what);
  };
  if (!answer.failure.empty()) {
    decide(answer.hopeless ? Outcome::kHopeless : Outcome::kRetry, answer.failure);
    return verdict;
  }
  constexpr int kOk = 200;
  if (answer.status != kOk) {
    verdict.fault = parse_endpoint_fault(answer.body);
    decide(outcome_of(answer.status, verdict.fault),
           fmt::format("HTTP status {}: {}", answer.status, verdict.fault.message));
    return verdict;
  }
  if (is_event_stream(answer.body)) {
    decide(Outcome::kHopeless,
           "answered a stream of events where \"stream\": false was asked for; want a server that "
           "answers whole");
    return verdict;
  }
  if (auto fault = fault_within(answer.body)) {
    verdict.fault = std::move(*fault);
    const int status = verdict.fault.status;
    decide(status == 0 && !is_exhausted(verdict.fault) ? Outcome::kRetry
                                                       : outcome_of(status, verdict.fault),
           fmt::format("HTTP status 200 with an error: {}", verdict.fault.message));
    return verdict;
  }
  try {
    verdict.reply = parse_endpoint_reply(api, answer.body, where, max_tokens);
  } catch (const Error& error) {
    verdict.outcome = Outcome::kRetry;
    verdict.reason = error.what();
  }
  return verdict;
}

double retry_delay(const EndpointOptions& options, int attempt, double retry_after, Rng& rng) {
  constexpr double kLongest = 30, kLongestAsked = 900;
  const double step = std::min(kLongest, options.backoff_seconds * std::exp2(attempt - 1));
  const double jittered = step * (0.5 + 0.5 * rng.uniform());
  return std::max(jittered, std::min(retry_after, kLongestAsked));
}

}  // namespace alambic
