#include "alambic/distill/endpoint_teacher.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "alambic/base/interrupt.h"
#include "alambic/base/say.h"
#include "alambic/distill/asking.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/labels.h"

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

// Of what was sent, the tokens that anybody would count at least: the student's own count, or one
// in four bytes, whichever is less; what a template adds is not in it.
int64_t tokens_sent(const Tokenizer& tokenizer, const OrderedJson& messages) {
  constexpr int64_t kBytesPerToken = 4;
  int64_t tokens = 0, bytes = 0;
  const auto add = [&](const std::string& text) {
    bytes += static_cast<int64_t>(text.size());
    tokens += static_cast<int64_t>(
        tokenizer.encode(text, {.special_prefix = false, .parse_special = false}).size());
  };
  for (const OrderedJson& message : messages) {
    const auto content = message.find("content");
    if (content != message.end() && content->is_string()) add(content->get<std::string>());
  }
  return std::min(tokens, bytes / kBytesPerToken);
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
        rng_(teacher.options_.seed, 2) {
    if (!options_.labels.empty()) labels_.emplace(options_.labels);
  }

  void run() {
    take_what_needs_no_asking();
    if (unasked_.empty()) return;
    probe();
    leave_out_what_cannot_be_asked();
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

  static std::string asked_prompt(const SignalRequest& request) {
    return request.write_text ? prompt_to_ask(*request.data) : request.data->prompt;
  }

  SignalRow blank_row(const SignalRequest& request) const {
    SignalRow row;
    row.example = request.example;
    row.sample = request.sample;
    row.prompt = asked_prompt(request);
    return row;
  }

  // Texts of the data that nobody has to score, and what does not fit in any case.
  void take_what_needs_no_asking() {
    std::vector<SignalRow> rows;
    for (size_t i = 0; i < requests_.size(); ++i) {
      const SignalRequest& request = requests_[i];
      if (request.write_text) {
        try {
          if (prompt_of(request).size() < static_cast<size_t>(options_.max_tokens)) {
            unasked_.push_back({i});
          } else {
            leave_out(request, AnswerKind::kTooLong);
          }
        } catch (const Error& error) {  // of the student's template
          leave_out(request, AnswerKind::kNotValid);
          if (first_fault_.empty())
            first_fault_ = fmt::format("{}: {}", place_of(*request.data), error.what());
        }
        continue;
      }
      SignalRow row = given_row(request);
      if (row.tokens.empty()) {
        leave_out(request, AnswerKind::kTooLong);
      } else if (wants_scores(request)) {
        unasked_.push_back({i});
      } else {
        rows.push_back(std::move(row));
      }
    }
    sink_.store(std::move(rows), std::move(unanswered_), false, spent_);
    unanswered_.clear();
  }

  // What cannot be asked over the route that was found.
  void leave_out_what_cannot_be_asked() {
    const AskedThrough through{teacher_.profile_->api == EndpointApi::kChat, false};
    std::erase_if(unasked_, [&](const Asked& asked) {
      const SignalRequest& request = requests_[asked.request];
      if (!request.write_text) return false;
      const auto reason = cannot_ask(*request.data, through);
      if (reason) leave_out(request, *reason);
      return reason.has_value();
    });
    sink_.store({}, std::move(unanswered_), false, spent_);
    unanswered_.clear();
  }

  void leave_out(const SignalRequest& request, AnswerKind kind) {
    unanswered_.push_back({request.example, request.sample, asked_prompt(request), kind});
  }

  std::vector<TokenId> prompt_of(const SignalRequest& request) const {
    return encode_question(teacher_.encoder_, *request.data);
  }

  SignalRow given_row(const SignalRequest& request) const {
    SignalRow row = blank_row(request);
    row.text = request.data->completion;
    auto sequences =
        encode_sequences(teacher_.encoder_, *request.data, options_.max_tokens).sequences;
    if (!sequences.empty()) {
      Sequence& s = sequences.back();
      // An endpoint scores one text behind one prompt.
      if (wants_scores(request) && has_several_answers(s.learned)) {
        fail(ErrorCode::kUnsupported,
             "[signals] example {} is a conversation of several answers; an endpoint gives its "
             "probabilities for one: want signals.kind = \"text\", or a teacher on this machine",
             request.data->id);
      }
      row.tokens = std::move(s.tokens);
      row.prompt_tokens = s.prompt_tokens;
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
      sink_.store({}, {}, false, spent_);
      sink_.note_revision(teacher_.profile_->fingerprint);
      say("endpoint: {}\n", teacher_.profile_->summary());
    }
  }

  HttpCall call_for(const SignalRequest& request) const {
    const EndpointProfile& profile = *teacher_.profile_;
    if (wants_scores(request)) {
      return score_call(options_, profile, scored_prompt(request) + request.data->completion,
                        options_.count);
    }
    return text_call(options_, profile,
                     {.messages = messages_to_ask(*request.data),
                      .prompt = asked_prompt(request),
                      .tools = request.data->tools,
                      .seed = question_seed(options_.seed, request),
                      .max_tokens = options_.max_new_tokens,
                      .top = options_.kind == SignalKind::kTopK ? options_.count : 0});
  }
  std::string scored_prompt(const SignalRequest& request) const {
    return told_text(request.data->prompt, options_.telling);
  }

  // Before a question is asked, what it will cost at most.
  void estimate(Asked& asked) const {
    constexpr int64_t kBytesPerToken = 3, kAround = 16;
    const SignalRequest& request = requests_[asked.request];
    size_t bytes = request.data->prompt.size() + options_.telling.system.size() +
                   options_.telling.prompt_template.size();
    if (!request.data->tools.is_null()) bytes += dump_json(request.data->tools).size();
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
    if (!rows.empty() || !unanswered_.empty() || spent_ != before)
      sink_.store(std::move(rows), std::move(unanswered_), true, spent_);
    unanswered_.clear();
    if (!refusals_.empty()) sink_.store({}, std::move(refusals_), false, spent_);
    refusals_.clear();
  }

  void take(Asked asked, const HttpAnswer& answer, std::vector<SignalRow>& rows) {
    constexpr int kOk = 200;
    const SignalRequest& request = requests_[asked.request];
    const EndpointApi api =
        wants_scores(request) ? EndpointApi::kCompletions : teacher_.profile_->api;
    const Verdict verdict =
        judge(api, answer, where(), request.write_text ? options_.max_new_tokens : 0);
    switch (verdict.outcome) {
      case Outcome::kGood:
        ++answers_;
        add_spending(options_, verdict.reply, asked.prompt, asked.longest, spent_);
        if (request.write_text) note_prompt_tokens(request, verdict.reply.prompt_tokens);
        take_reply(request, verdict.reply, rows);
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
        // Asked again when the gathering goes on: a refusal costs nothing.
        refusals_.push_back(
            {request.example, request.sample, asked_prompt(request), AnswerKind::kRefused});
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

  void take_reply(const SignalRequest& request, const EndpointReply& reply,
                  std::vector<SignalRow>& rows) {
    if (!request.write_text) {
      rows.push_back(scored_row(request, reply));
      return;
    }
    const bool cut = reply.kind == AnswerKind::kCut && options_.keep_cut;
    if (reply.kind != AnswerKind::kGood && !cut) {
      leave_out(request, reply.kind);
      return;
    }
    std::optional<std::string> label;
    if (labels_) {
      const auto meant = labels_->meant(reply.text);
      if (!meant) {
        outside_.add(reply.text);
        leave_out(request, AnswerKind::kOutside);
        return;
      }
      label = labels_->labels()[*meant];
    }
    SignalRow row = written_row(request, reply, label.value_or(reply.text));
    const auto fits = static_cast<size_t>(options_.max_tokens);
    if (row.tokens.size() > fits) {
      if (!options_.keep_cut) {
        leave_out(request, AnswerKind::kTooLong);
        return;
      }
      row.tokens.resize(fits);
      if (!row.signals.empty()) row.signals.resize(fits - static_cast<size_t>(row.prompt_tokens));
    }
    rows.push_back(std::move(row));
  }

  SignalRow scored_row(const SignalRequest& request, const EndpointReply& reply) {
    SignalRow row = given_row(request);
    std::span<const EndpointToken> written = reply.given;
    if (!teacher_.profile_->scores_prompts) {
      const auto beyond = static_cast<size_t>(std::max(0, teacher_.profile_->echo_tokens));
      if (reply.tokens.size() <= beyond) return row;
      written = std::span(reply.tokens).first(reply.tokens.size() - beyond);
    }
    const std::string& text = request.data->completion;
    MatchedAnswer matched = match_answer(teacher_.vocabulary_, text, text, written, options_.count);
    add_signals(std::move(matched), row);
    return row;
  }

  // `answer`: its text, or the label that it means.
  SignalRow written_row(const SignalRequest& request, const EndpointReply& reply,
                        const std::string& answer) {
    const ByteVocabulary& vocabulary = teacher_.vocabulary_;
    SignalRow row = blank_row(request);
    if (!reply.reasoning.empty() && !options_.keep_reasoning) ++thoughts_dropped_;
    row.text = with_reasoning(options_.keep_reasoning ? reply.reasoning : "", answer);
    // Of a label in other words nothing is known token by token.
    const std::span<const EndpointToken> said =
        answer == reply.text ? std::span(reply.tokens) : std::span<const EndpointToken>();
    row.tokens = prompt_of(request);
    // Where the student's own prompt opens a block of reasoning, the answer closes it.
    const std::string written =
        opens_block(vocabulary.tokenizer(), row.tokens)
            ? in_opened_block(options_.keep_reasoning ? reply.reasoning : "", answer)
            : row.text;
    MatchedAnswer matched = match_answer(vocabulary, written, answer, said, options_.count);
    row.prompt_tokens = static_cast<int>(row.tokens.size());
    row.tokens.insert(row.tokens.end(), matched.tokens.begin(), matched.tokens.end());
    if (reply.kind == AnswerKind::kGood) row.tokens.push_back(end_token(vocabulary.tokenizer()));
    add_signals(std::move(matched), row);
    return row;
  }

  // A server whose context is too small may cut prompts without a word.
  void note_prompt_tokens(const SignalRequest& request, int64_t reported) {
    constexpr int64_t kMissing = 32;
    if (reported <= 0) return;  // it says nothing
    const bool chat = teacher_.profile_->api == EndpointApi::kChat;
    const OrderedJson messages =
        chat ? told_messages(messages_to_ask(*request.data), options_.telling)
             : one_message(told_text(asked_prompt(request), options_.telling));
    const int64_t sent = tokens_sent(teacher_.vocabulary_.tokenizer(), messages);
    if (reported * 2 >= sent || sent - reported < kMissing) return;
    if (++short_prompts_ > 1) return;
    short_prompt_ = fmt::format(
        "the endpoint says that it read {} prompt tokens where about {} were sent: does it cut "
        "prompts (context size)?",
        reported, sent);
    say("warning: {}\n", short_prompt_);
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
      sink_.remark(fmt::format(
          "the endpoint's probabilities reach {:.1f} % of {} tokens",
          kPercent * static_cast<double>(matched_) / static_cast<double>(answer_tokens_),
          answer_tokens_));
    }
    if (refused_ > 0) {
      sink_.remark(fmt::format("the endpoint refused {} questions; the first: {}", refused_,
                               first_refusal_));
    }
    if (!outside_.empty()) sink_.remark(outside_.in_words());
    if (!first_fault_.empty()) sink_.remark("the first that is not valid: " + first_fault_);
    if (thoughts_dropped_ > 0) sink_.remark(thoughts_dropped_in_words(thoughts_dropped_));
    if (short_prompts_ > 0) {
      sink_.remark(
          fmt::format("warning: {} ({} of {} answers)", short_prompt_, short_prompts_, answers_));
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

  std::optional<LabelSet> labels_;
  OutsideAnswers outside_;

  std::deque<Asked> unasked_;
  std::multimap<Clock::time_point, Asked> later_;
  std::map<int64_t, Asked> flying_;
  Clock::time_point next_start_{}, patience_{};

  std::vector<VainQuestion> unanswered_, refusals_;  // not handed on yet
  std::string ending_, first_refusal_, first_fault_, short_prompt_;
  ErrorCode ending_code_ = ErrorCode::kIo;
  int64_t answers_ = 0, refused_ = 0, matched_ = 0, answer_tokens_ = 0;
  int64_t short_prompts_ = 0, thoughts_dropped_ = 0;
};

EndpointTeacher::EndpointTeacher(EndpointOptions options, const Tokenizer& tokenizer,
                                 const ModelCard& card)
    : options_(std::move(options)), vocabulary_(tokenizer), encoder_(tokenizer, card) {
  validate_endpoint_options(options_);
  options_.telling = with_labels_told(std::move(options_.telling), options_.labels);
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
  OrderedJson sampling = {{"api", o.api},
                          {"temperature", o.text_temperature},
                          {"max_tokens", o.max_new_tokens},
                          {"system", o.telling.system},
                          {"prompt_template", o.telling.prompt_template},
                          {"reasoning", o.keep_reasoning ? "keep" : "drop"}};
  if (o.keep_cut) sampling["cut"] = "keep";
  if (!o.labels.empty()) sampling["labels"] = labels_key(o.labels);
  header.sampling = dump_json(sampling);
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
