#include "alambic/serve/exchange.h"

#include <utility>

namespace alambic {

HttpReply error_reply(const ApiError& error) {
  HttpReply reply;
  reply.status = error.status();
  reply.body = dump_json(error.body());
  if (error.status() == 401) reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (error.status() == 503) reply.headers.emplace_back("Retry-After", "1");
  return reply;
}

ChoiceTask::ChoiceTask(int choice, const Tokenizer& tokenizer, Text text)
    : choice_(choice),
      tokenizer_(tokenizer),
      writer_(tokenizer, std::move(text.stops), text.before, count_characters(text.echo)),
      echo_(std::move(text.echo)),
      first_echoed_(text.first_echoed) {}

void ChoiceTask::send(AnswerPiece piece) {
  if (!echo_.empty()) piece.text.insert(0, std::exchange(echo_, {}));
  if (piece.text.empty() && piece.tokens.empty()) return;
  sink_({choice_, {std::move(piece.text), std::move(piece.tokens), ""}, 0, ""});
}

void ChoiceTask::on_prompt(std::vector<ScoredToken> tokens) {
  send({"", records_of(tokenizer_, prompt.tokens, first_echoed_, std::move(tokens))});
}

bool ChoiceTask::on_token(ScoredToken token) {
  ++generated_;
  send(writer_.push(std::move(token)));
  return !writer_.stopped();
}

void ChoiceTask::on_end(bool stopped) {
  send(writer_.finish());
  const bool at_stop = stopped || writer_.stopped();
  sink_({choice_, {"", {}, at_stop ? "stop" : "length"}, generated_, ""});
}

void ChoiceTask::on_failure(const std::string& message) { sink_({choice_, {}, 0, message}); }

Exchange::Exchange(Engine& engine, ApiRoute route, const SamplingRequest& request,
                   ResponseFormat format, std::vector<std::shared_ptr<ChoiceTask>> tasks,
                   int64_t prompt_tokens)
    : engine_(engine),
      route_(route),
      stream_(request.stream),
      include_usage_(request.include_usage),
      format_(std::move(format)),
      tasks_(std::move(tasks)),
      results_(tasks_.size()),
      usage_{prompt_tokens, 0},
      running_(tasks_.size()) {}

bool Exchange::start(const ChoiceTask::Sink& sink) {
  for (const auto& task : tasks_) task->set_sink(sink);
  const std::vector<std::shared_ptr<EngineTask>> tasks(tasks_.begin(), tasks_.end());
  return engine_.submit(tasks);
}

void Exchange::cancel() {
  for (const auto& task : tasks_) task->cancel();
}

void Exchange::count(const ChoiceUpdate& update) {
  if (!update.failure.empty()) {
    failure_ = update.failure;
    cancel();
  } else if (!update.part.finish.empty()) {
    --running_;
    usage_.completion += update.generated;
  }
}

std::string Exchange::opening_events() const {
  std::string events;
  if (route_ != ApiRoute::kChat) return events;
  for (size_t i = 0; i < tasks_.size(); ++i) {
    events += sse_event(format_.opening(static_cast<int>(i)));
  }
  return events;
}

std::string Exchange::events(const ChoiceUpdate& update) {
  count(update);
  if (failure_.empty()) return sse_event(format_.chunk(update.choice, update.part));
  return sse_event(ApiError(500, failure_).body());
}

std::string Exchange::closing_events() const {
  if (!failure_.empty()) return {};  // an end without [DONE] is no answer
  std::string events;
  if (include_usage_) events = sse_event(format_.usage_chunk(usage_));
  return events.append(kSseDone);
}

void Exchange::take(ChoiceUpdate update) {
  count(update);
  if (!failure_.empty()) return;
  ChoiceResult& result = results_[static_cast<size_t>(update.choice)];
  result.text += update.part.text;
  for (TokenRecord& token : update.part.tokens) result.tokens.push_back(std::move(token));
  if (!update.part.finish.empty()) result.finish = update.part.finish;
}

HttpReply Exchange::reply() const {
  if (!failure_.empty()) return error_reply(ApiError(500, failure_));
  HttpReply reply;
  reply.body = dump_json(format_.whole(results_, usage_));
  return reply;
}

}  // namespace alambic
