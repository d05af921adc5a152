#include "alambic/distill/endpoint_probe.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "alambic/base/interrupt.h"
#include "alambic/distill/asking.h"

namespace alambic {
namespace {

constexpr const char* kHello = "Hello! How are you?";
constexpr int kProbeTokens = 16;  // fewer, and models that think first have nothing to say

class Probe {
 public:
  Probe(HttpClient& client, const EndpointOptions& options, Spending& spent)
      : client_(client), options_(options), spent_(spent) {}

  EndpointProfile run(const EndpointNeeds& needs) {
    profile_.model = options_.model.empty() ? only_model() : options_.model;
    const bool only_scores = needs.scores && !needs.texts;
    if (!only_scores) find_route();
    if (options_.kind == SignalKind::kTopK && needs.texts) find_alternatives();
    if (needs.scores) find_scoring(needs.instead);
    return profile_;
  }

 private:
  const std::string& where() const { return options_.url; }

  HttpAnswer one(const HttpCall& call) {
    client_.start(call);
    for (;;) {
      throw_if_interrupted("endpoint", "run the same command again (a run goes on with --resume)");
      auto answers = client_.wait(0.2);
      if (!answers.empty()) return std::move(answers.front());
    }
  }

  // Asks until there is an answer or a reason to give up.
  Verdict ask(EndpointApi api, const HttpCall& call) {
    Rng rng(options_.seed, 1);
    for (int attempt = 1;; ++attempt) {
      const HttpAnswer answer = one(call);
      ++spent_.requests;
      Verdict verdict = judge(api, answer, where());
      if (verdict.outcome == Outcome::kGood) {
        --spent_.requests;
        add_spending(options_, verdict.reply, kProbeTokens, kProbeTokens, spent_);
      }
      if (verdict.outcome != Outcome::kRetry) return verdict;
      if (attempt > options_.retries) fail(ErrorCode::kIo, "{}", verdict.reason);
      pause(retry_delay(options_, attempt, answer.retry_after, rng));
    }
  }

  static void pause(double seconds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < end) {
      throw_if_interrupted("endpoint", "run the same command again (a run goes on with --resume)");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  std::string only_model() {
    constexpr int kOk = 200;
    const HttpAnswer answer = one(models_call(options_));
    if (!answer.failure.empty()) fail(ErrorCode::kIo, "[{}] {}", where(), answer.failure);
    if (answer.status != kOk) {
      fail(ErrorCode::kIo, "[{}] HTTP status {}: {}; name the model with teacher.model", where(),
           answer.status, parse_endpoint_fault(answer.body).message);
    }
    const std::vector<std::string> names = parse_model_names(answer.body, where());
    if (names.size() != 1) {
      fail(ErrorCode::kInvalidArgument, "[{}] serves {} models ({}); name one with teacher.model",
           where(), names.size(), fmt::join(names, ", "));
    }
    return names.front();
  }

  static EndpointQuestion hello(int top) {
    return {.messages = one_message(kHello),
            .prompt = kHello,
            .seed = 1,
            .max_tokens = kProbeTokens,
            .top = top};
  }

  // True where the refusal names a field that can be said otherwise, and now will be.
  bool adapt(const EndpointFault& fault) {
    const auto names = [&](const char* field) {
      return fault.param == field || fault.message.find(field) != std::string::npos;
    };
    if (names("max_completion_tokens") && !profile_.newer_limit) {
      return profile_.newer_limit = true;
    }
    if (names("seed") && profile_.takes_seed) {
      profile_.takes_seed = false;
      return true;
    }
    if (names("temperature") && profile_.takes_temperature) {
      if (options_.text_temperature != 1) {
        fail(ErrorCode::kInvalidArgument,
             "[{}] {} refuses temperature {}: {}; set signals.text_temperature = 1", where(),
             profile_.model, options_.text_temperature, fault.message);
      }
      profile_.takes_temperature = false;
      return true;
    }
    return false;
  }

  Verdict ask_adapting(int top) {
    for (;;) {
      Verdict verdict = ask(profile_.api, text_call(options_, profile_, hello(top)));
      if (verdict.outcome != Outcome::kRefused || !adapt(verdict.fault)) return verdict;
    }
  }

  // As opposed to one that wants a key, or has trouble.
  static bool lacks_route(const Verdict& verdict) {
    constexpr int kMissing[] = {404, 405, 501};
    return verdict.outcome == Outcome::kRefused ||
           std::find(std::begin(kMissing), std::end(kMissing), verdict.status) !=
               std::end(kMissing);
  }

  void find_route() {
    profile_.api = options_.api == "completions" ? EndpointApi::kCompletions : EndpointApi::kChat;
    Verdict verdict = ask_adapting(0);
    if (lacks_route(verdict) && options_.api == "auto") {
      const std::string first = verdict.reason;
      profile_.api = EndpointApi::kCompletions;
      verdict = ask_adapting(0);
      if (verdict.outcome != Outcome::kGood) fail(ErrorCode::kIo, "{}", first);
    }
    if (verdict.outcome != Outcome::kGood) fail(ErrorCode::kIo, "{}", verdict.reason);
    profile_.fingerprint = verdict.reply.fingerprint;
  }

  // How many alternatives an answer really gives.
  static int alternatives(const std::vector<EndpointToken>& tokens) {
    size_t most = 0;
    for (const EndpointToken& token : tokens) most = std::max(most, token.top.size());
    return static_cast<int>(most);
  }

  void find_alternatives() {
    std::vector<int> tries{options_.count};
    for (const int limit : {20, 10, 8, 5, 4, 3, 2, 1}) {
      if (limit < options_.count) tries.push_back(limit);
    }
    for (const int wanted : tries) {
      const Verdict verdict = ask_adapting(wanted);
      if (verdict.outcome == Outcome::kHopeless) fail(ErrorCode::kIo, "{}", verdict.reason);
      if (verdict.outcome != Outcome::kGood) continue;
      profile_.sampled = !verdict.reply.tokens.empty();
      profile_.top = std::min(wanted, alternatives(verdict.reply.tokens));
      break;  // what it ignores at one number it ignores at all
    }
    if (profile_.top >= options_.count) return;
    if (profile_.top > 0) {
      fail(ErrorCode::kInvalidArgument,
           "[{}] {} gives at most {} log-probabilities a token; set signals.count = {}", where(),
           profile_.model, profile_.top, profile_.top);
    }
    fail(ErrorCode::kInvalidArgument,
         "[{}] {} gives {}; signals.kind = \"topk\" and every objective with alpha above 0 need "
         "those of alternatives; want signals.kind = \"text\" with objective.alpha = 0",
         where(), profile_.model,
         profile_.sampled ? "log-probabilities of the written tokens alone"
                          : "no log-probabilities");
  }

  // How the reply to score_call() scored kHello; nothing where it did not.
  static int scored_alternatives(const EndpointReply& reply) {
    if (reply.given.empty()) return reply.text.starts_with(kHello) ? alternatives(reply.tokens) : 0;
    std::string spelled;
    for (const EndpointToken& token : reply.given) spelled += token.chosen.bytes;
    // Its first token has a score only where a beginning-of-text token stands before it.
    const bool whole = spelled.ends_with(kHello);
    const bool but_the_first = !spelled.empty() && std::string_view(kHello).ends_with(spelled);
    return whole || but_the_first ? alternatives(reply.given) : 0;
  }

  void find_scoring(const std::string& instead) {
    std::string reason;
    struct Way {
      int tokens;
      bool apart;
    };
    for (const Way way : {Way{0, false}, Way{1, false}, Way{1, true}}) {
      profile_.echo_tokens = way.tokens;
      profile_.scores_prompts = way.apart;
      const Verdict verdict =
          ask(EndpointApi::kCompletions, score_call(options_, profile_, kHello, options_.count));
      const bool good = verdict.outcome == Outcome::kGood;
      const int given = good ? scored_alternatives(verdict.reply) : 0;
      if (good && given >= options_.count) {
        profile_.fingerprint = verdict.reply.fingerprint;
        return;
      }
      if (good || reason.empty()) {
        reason = good ? fmt::format("[{}] gives {} log-probabilities a token there", where(), given)
                      : verdict.reason;
      }
    }
    fail(ErrorCode::kInvalidArgument,
         "[{}] {} does not score given texts with {} alternatives (/completions with echo or "
         "prompt_logprobs): {}; want {}",
         where(), profile_.model, options_.count, reason, instead);
  }

  HttpClient& client_;
  const EndpointOptions& options_;
  Spending& spent_;
  EndpointProfile profile_;
};

}  // namespace

void add_spending(const EndpointOptions& options, const EndpointReply& reply, int64_t prompt,
                  int64_t completion, Spending& spent) {
  constexpr double kMillion = 1e6;
  const bool reported = reply.prompt_tokens + reply.completion_tokens > 0;
  const int64_t in = reported ? reply.prompt_tokens : prompt;
  const int64_t out = reported ? reply.completion_tokens : completion;
  ++spent.requests;
  spent.prompt_tokens += in;
  spent.completion_tokens += out;
  spent.money +=
      (static_cast<double>(in) * options.price_in + static_cast<double>(out) * options.price_out) /
      kMillion;
}

EndpointProfile probe_endpoint(HttpClient& client, const EndpointOptions& options,
                               const EndpointNeeds& needs, Spending& spent) {
  return Probe(client, options, spent).run(needs);
}

}  // namespace alambic
