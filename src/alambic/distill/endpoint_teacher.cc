#include "alambic/distill/endpoint_teacher.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <map>
#include <utility>

#include "alambic/base/interrupt.h"
#include "alambic/distill/encoding.h"

namespace alambic {
namespace {

using Clock = std::chrono::steady_clock;

Clock::duration seconds(double count) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(count));
}

uint64_t question_seed(uint64_t seed, const SignalRequest& request) {
  constexpr uint64_t kSigned32 = 0x7FFFFFFF;  // what every server takes
  return Rng(seed, static_cast<uint64_t>(request.example))
             .fork(static_cast<uint64_t>(request.sample))
             .next() &
         kSigned32;
}

// So that all answers on their way fit into memory, however long they claim to be.
size_t longest_body(int concurrency) {
  constexpr size_t kAll = size_t{512} << 20, kLeast = size_t{1} << 20, kMost = size_t{16} << 20;
  return std::clamp(kAll / static_cast<size_t>(concurrency), kLeast, kMost);
}

std::string stored_text(const EndpointReply& reply, bool keep_reasoning) {
  if (!keep_reasoning || reply.reasoning.empty()) return reply.text;
  return fmt::format("<think>\n{}\n</think>\n\n{}", reply.reasoning, reply.text);
}

}  // namespace

// One call of annotate().
class Gathering {
 public:
  Gathering(EndpointTeacher& teacher, std::span<const SignalRequest> requests, SignalSink& sink)
      : teacher_(teacher),
        options_(teacher.options_),
        requests_(requests),
        sink_(sink),
        client_({.timeout_seconds = teacher.options_.timeout_seconds,
                 .max_body = longest_body(teacher.options_.concurrency),
                 .key = teacher.options_.key}),
        spent_(sink.spent()),
        rng_(teacher.options_.seed, 2) {}

  void run() {
    take_what_needs_no_asking();
    if (unasked_.empty()) return;
    probe();
    while (!flying_.empty() || (!over() && (!unasked_.empty() || !later_.empty()))) {
      if (interrupted() && !over()) end(ErrorCode::kInterrupted, "[signals] interrupted");
      start_calls();
      take_answers();
      if (over() && Clock::now() > patience_) break;
    }
    if (unasked_.empty() && later_.empty() && !over() && answers_ == 0 && refused_ > 0) {
      end(ErrorCode::kIo, first_refusal_);
    }
    finish();
  }

 private:
  struct Asked {
    size_t request;
    int attempt = 1;
    int64_t prompt = 0, longest = 0;  // tokens, estimated
  };

  bool wants_scores(const SignalRequest& request) const {
    return !request.write_text && options_.kind == SignalKind::kTopK;
  }
  const std::string& where() const { return options_.url; }
  bool over() const { return !ending_.empty(); }
  // Lets what is under way come home, and starts nothing more.
  void end(ErrorCode code, const std::string& why) {
    constexpr double kPatience = 10;  // for Ctrl-C; answers have a time limit of their own
    if (over()) return;
    ending_ = why;
    ending_code_ = code;
    patience_ = Clock::now() +
                seconds(code == ErrorCode::kInterrupted ? kPatience : options_.timeout_seconds);
  }

  SignalRow blank_row(const SignalRequest& request) const {
    SignalRow row;
    row.example = request.example;
    row.sample = request.sample;
    row.prompt = request.data->prompt;
    return row;
  }

  // Texts of the data that nobody has to score, and what does not fit in any case.
  void take_what_needs_no_asking() {
    std::vector<SignalRow> rows;
    for (size_t i = 0; i < requests_.size(); ++i) {
      const SignalRequest& request = requests_[i];
      if (request.write_text) {
        const auto prompt =
            encode_prompt(teacher_.vocabulary_.tokenizer(), teacher_.card_, request.data->prompt);
        if (static_cast<int>(prompt.size()) < options_.max_tokens) {
          unasked_.push_back({i});
        } else {
          rows.push_back(blank_row(request));
        }
        continue;
      }
      SignalRow row = given_row(request);
      if (!row.tokens.empty() && wants_scores(request)) {
        unasked_.push_back({i});
      } else {
        rows.push_back(std::move(row));
      }
    }
    if (!rows.empty()) sink_.store(std::move(rows), spent_);
  }

  SignalRow given_row(const SignalRequest& request) const {
    SignalRow row = blank_row(request);
    row.text = request.data->completion;
    if (auto s = encode_example(teacher_.vocabulary_.tokenizer(), teacher_.card_, *request.data,
                                options_.max_tokens)) {
      // An endpoint scores one text behind one prompt.
      if (wants_scores(request) && has_several_answers(s->learned)) {
        fail(ErrorCode::kUnsupported,
             "[signals] example {} is a conversation of several answers; an endpoint gives its "
             "probabilities for one: want signals.kind = \"text\", or a teacher on this machine",
             request.data->id);
      }
      row.tokens = std::move(s->tokens);
      row.prompt_tokens = s->prompt_tokens;
    }
    return row;
  }

  void probe() {
    if (!teacher_.profile_) {
      EndpointNeeds needs{.texts = false};
      for (const Asked& asked : unasked_) {
        (requests_[asked.request].write_text ? needs.texts : needs.scores) = true;
      }
      teacher_.profile_ = probe_endpoint(client_, options_, needs, spent_);
      sink_.store({}, spent_);
      sink_.note_revision(teacher_.profile_->fingerprint);
      fmt::print(stderr, "endpoint: {}\n", teacher_.profile_->summary());
    }
  }

  HttpCall call_for(const SignalRequest& request) const {
    const EndpointProfile& profile = *teacher_.profile_;
    if (wants_scores(request)) {
      return score_call(options_, profile, scored_prompt(request) + request.data->completion,
                        options_.count);
    }
    const EndpointQuestion question{request.data->prompt, question_seed(options_.seed, request),
                                    options_.max_new_tokens,
                                    options_.kind == SignalKind::kTopK ? options_.count : 0};
    return text_call(options_, profile, question);
  }
  std::string scored_prompt(const SignalRequest& request) const {
    ModelCard card;
    card.prompt_template = options_.prompt_template;
    return apply_template(card, request.data->prompt);
  }

  // Before a question is asked, what it will cost at most.
  void estimate(Asked& asked) const {
    constexpr int64_t kBytesPerToken = 3, kAround = 16;
    const SignalRequest& request = requests_[asked.request];
    size_t bytes = request.data->prompt.size() + options_.system.size();
    if (!request.write_text) bytes += request.data->completion.size();
    asked.prompt = static_cast<int64_t>(bytes) / kBytesPerToken + kAround;
    asked.longest = request.write_text ? options_.max_new_tokens : 1;
  }

  double price(const Asked& asked) const {
    constexpr double kMillion = 1e6;
    return (static_cast<double>(asked.prompt) * options_.price_in +
            static_cast<double>(asked.longest) * options_.price_out) /
           kMillion;
  }

  // The cap that one more question might cross; empty: none.
  std::string cap_in_the_way(const Asked& next) const {
    int64_t tokens = spent_.tokens() + next.prompt + next.longest;
    double money = spent_.money + price(next);
    for (const auto& [call, asked] : flying_) {
      tokens += asked.prompt + asked.longest;
      money += price(asked);
    }
    if (options_.max_total_tokens > 0 && tokens > options_.max_total_tokens) {
      return fmt::format("the cap of {} tokens (teacher.max_total_tokens) is reached after {}",
                         options_.max_total_tokens, spent_.tokens());
    }
    if (options_.max_cost > 0 && money > options_.max_cost) {
      return fmt::format("the cap of {:.2f} (teacher.max_cost) is reached after {:.4f}",
                         options_.max_cost, spent_.money);
    }
    return {};
  }

  void start_calls() {
    while (!over() && flying_.size() < static_cast<size_t>(options_.concurrency) &&
           Clock::now() >= next_start_) {
      const bool again = !later_.empty() && later_.begin()->first <= Clock::now();
      if (!again && unasked_.empty()) return;
      Asked asked = again ? later_.begin()->second : unasked_.front();
      estimate(asked);
      if (const std::string cap = cap_in_the_way(asked); !cap.empty()) {
        // An answer on its way may turn out shorter than its longest.
        if (flying_.empty()) {
          end(ErrorCode::kResourceExhausted,
              fmt::format("[{}] {}; what was answered is stored", where(), cap));
        }
        return;
      }
      if (again) {
        later_.erase(later_.begin());
      } else {
        unasked_.pop_front();
      }
      flying_.emplace(client_.start(call_for(requests_[asked.request])), asked);
      if (options_.requests_per_minute > 0) {
        constexpr double kMinute = 60;
        next_start_ = Clock::now() + seconds(kMinute / options_.requests_per_minute);
      }
    }
  }

  void take_answers() {
    constexpr double kTick = 0.1;
    const double until_start = std::chrono::duration<double>(next_start_ - Clock::now()).count();
    std::vector<SignalRow> rows;
    const Spending before = spent_;
    for (HttpAnswer& answer :
         client_.wait(until_start > 0 ? std::min(until_start, kTick) : kTick)) {
      const auto at = flying_.find(answer.call);
      if (at == flying_.end()) continue;
      const Asked asked = at->second;
      flying_.erase(at);
      take(asked, answer, rows);
    }
    if (!rows.empty() || spent_ != before) sink_.store(std::move(rows), spent_);
  }

  void take(Asked asked, const HttpAnswer& answer, std::vector<SignalRow>& rows) {
    constexpr int kOk = 200;
    const SignalRequest& request = requests_[asked.request];
    const EndpointApi api =
        wants_scores(request) ? EndpointApi::kCompletions : teacher_.profile_->api;
    const Verdict verdict = judge(api, answer, where());
    switch (verdict.outcome) {
      case Outcome::kGood:
        ++answers_;
        add_spending(options_, verdict.reply, asked.prompt, asked.longest, spent_);
        rows.push_back(row_of_reply(request, verdict.reply));
        check_matching();
        return;
      case Outcome::kRetry:
        // An answer that cannot be read was written all the same.
        if (answer.status == kOk) {
          add_spending(options_, {}, asked.prompt, asked.longest, spent_);
        } else {
          ++spent_.requests;
        }
        retry(asked, answer.retry_after, verdict.reason);
        return;
      case Outcome::kRefused:
        ++spent_.requests;
        if (++refused_ == 1) first_refusal_ = verdict.reason;
        if (answers_ == 0 && refused_ >= kPointless) end(ErrorCode::kIo, first_refusal_);
        return;
      case Outcome::kHopeless:
        ++spent_.requests;
        end(ErrorCode::kIo, verdict.reason);
        return;
    }
  }

  void retry(Asked asked, double retry_after, const std::string& reason) {
    if (asked.attempt > options_.retries) {
      end(ErrorCode::kIo, fmt::format("{} (asked {} times)", reason, asked.attempt));
      return;
    }
    const double delay = retry_delay(options_, asked.attempt, retry_after, rng_);
    // Who asks for a pause means all calls.
    if (retry_after > 0) next_start_ = std::max(next_start_, Clock::now() + seconds(delay));
    ++asked.attempt;
    later_.emplace(Clock::now() + seconds(delay), asked);
  }

  SignalRow row_of_reply(const SignalRequest& request, const EndpointReply& reply) {
    const ByteVocabulary& vocabulary = teacher_.vocabulary_;
    std::span<const EndpointToken> written = reply.tokens;
    if (!request.write_text) {
      SignalRow row = given_row(request);
      const auto beyond = static_cast<size_t>(std::max(0, teacher_.profile_->echo_tokens));
      if (written.size() <= beyond) return row;
      written = written.first(written.size() - beyond);
      const std::string& text = request.data->completion;
      MatchedAnswer matched = match_answer(vocabulary, text, text, written, options_.count);
      add_signals(std::move(matched), row);
      return row;
    }
    SignalRow row = blank_row(request);
    row.text = stored_text(reply, options_.keep_reasoning);
    MatchedAnswer matched = match_answer(vocabulary, row.text, reply.text, written, options_.count);
    row.tokens = encode_prompt(vocabulary.tokenizer(), teacher_.card_, row.prompt);
    row.prompt_tokens = static_cast<int>(row.tokens.size());
    row.tokens.insert(row.tokens.end(), matched.tokens.begin(), matched.tokens.end());
    if (reply.finish == "stop") row.tokens.push_back(end_token(vocabulary.tokenizer()));
    // What was paid for is kept as far as the student can read it.
    const auto fits = static_cast<size_t>(options_.max_tokens);
    if (row.tokens.size() > fits) row.tokens.resize(fits);
    add_signals(std::move(matched), row);
    return row;
  }

  void add_signals(MatchedAnswer matched, SignalRow& row) {
    const size_t answer = row.tokens.size() - static_cast<size_t>(row.prompt_tokens);
    answer_tokens_ += static_cast<int64_t>(matched.tokens.size());
    matched_ += matched.matched;
    if (options_.kind != SignalKind::kTopK || matched.signals.empty()) return;
    row.signals = std::move(matched.signals);
    row.signals.resize(answer);  // nothing is known of the end-of-text token
  }

  // A run that stores no probability at all is not the run that was asked for.
  void check_matching() {
    constexpr int64_t kEnough = 500;
    if (options_.kind != SignalKind::kTopK || matched_ > 0 || answer_tokens_ < kEnough) return;
    end(ErrorCode::kInvalidArgument,
        fmt::format("[{}] none of its tokens agree with the student's; give the student this "
                    "teacher's tokenizer (teacher.tokenizer), or want signals.kind = \"text\"",
                    where()));
  }

  void finish() {
    if (options_.kind == SignalKind::kTopK && answer_tokens_ > 0) {
      constexpr double kPercent = 100;
      fmt::print(stderr, "endpoint: probabilities for {:.1f} % of {} tokens\n",
                 kPercent * static_cast<double>(matched_) / static_cast<double>(answer_tokens_),
                 answer_tokens_);
    }
    if (refused_ > 0) {
      fmt::print(stderr, "endpoint: {} questions were refused and left out; the first: {}\n",
                 refused_, first_refusal_);
    }
    if (!over()) return;
    if (ending_code_ == ErrorCode::kInterrupted) {
      fail(ending_code_,
           "{}; what is gathered is stored; run the same command with --resume to go "
           "on",
           ending_);
    }
    fail(ending_code_, "{}", ending_);
  }

  static constexpr int kPointless = 8;  // refusals in a row from the start

  EndpointTeacher& teacher_;
  const EndpointOptions& options_;
  std::span<const SignalRequest> requests_;
  SignalSink& sink_;
  HttpClient client_;
  Spending spent_;
  Rng rng_;

  std::deque<Asked> unasked_;
  std::multimap<Clock::time_point, Asked> later_;
  std::map<int64_t, Asked> flying_;
  Clock::time_point next_start_{}, patience_{};

  std::string ending_, first_refusal_;
  ErrorCode ending_code_ = ErrorCode::kIo;
  int64_t answers_ = 0, refused_ = 0, matched_ = 0, answer_tokens_ = 0;
};

EndpointTeacher::EndpointTeacher(EndpointOptions options, const Tokenizer& tokenizer,
                                 ModelCard card)
    : options_(std::move(options)), vocabulary_(tokenizer), card_(std::move(card)) {
  validate_endpoint_options(options_);
}

Capabilities EndpointTeacher::capabilities() const {
  if (!profile_) return {true, false, options_.kind == SignalKind::kTopK, false};
  return {true, false, profile_->top > 0, profile_->echo_tokens >= 0};
}

std::string EndpointTeacher::id() const {
  return options_.model.empty() ? "the model of " + options_.url : options_.model;
}

void EndpointTeacher::annotate(std::span<const SignalRequest> requests, SignalSink& sink) {
  Gathering(*this, requests, sink).run();
}

void describe_endpoint(const EndpointOptions& o, SignalHeader& header) {
  header.endpoint = o.url;
  header.sampling = dump_json(OrderedJson{{"api", o.api},
                                          {"temperature", o.text_temperature},
                                          {"max_tokens", o.max_new_tokens},
                                          {"system", o.system},
                                          {"prompt_template", o.prompt_template},
                                          {"reasoning", o.keep_reasoning ? "keep" : "drop"}});
  header.begun = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

std::string endpoint_key(const std::string& variable) {
  if (variable.empty()) return {};
  const char* key = std::getenv(variable.c_str());
  if (key == nullptr || *key == '\0') {
    fail(ErrorCode::kInvalidArgument, "[teacher.api_key_env] the environment has no {}", variable);
  }
  return key;
}

}  // namespace alambic
