#include "alambic/serve/engine.h"

#include <algorithm>
#include <new>
#include <stdexcept>
#include <utility>

#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"

namespace alambic {
namespace {

bool writes_alone(const EngineTask& task) { return task.mode == DecodeMode::kDiffusion; }

DraftSource draft_source(DecodeMode mode) {
  if (mode == DecodeMode::kLookup) return DraftSource::kLookup;
  return mode == DecodeMode::kSpeculative ? DraftSource::kMasks : DraftSource::kNone;
}

}  // namespace

std::vector<ScoredToken> score_tokens(const LanguageModel& model, std::span<const TokenId> tokens,
                                      const GenerateOptions& options, int top, KvCache& cache) {
  constexpr size_t kRows = 128;  // logits of so many rows at a time
  const NoGrad no_grad;
  Sampler sampler(model.config(), options, 0);
  std::vector<ScoredToken> scored;
  scored.reserve(tokens.size());
  for (size_t first = 0; first < tokens.size(); first += kRows) {
    const size_t rows = std::min(kRows, tokens.size() - first);
    const Tensor hidden = model.hidden(
        tokens.subspan(first, rows),
        {{{static_cast<int>(rows), cache.length(), true, {}, &cache}}, options.precision});
    cache.commit(static_cast<int>(rows));
    const size_t targets = std::min(rows, tokens.size() - 1 - first);
    if (targets == 0) break;
    const Tensor logits =
        logits_of(model, hidden, 0, static_cast<int64_t>(targets), options.precision);
    for (size_t row = 0; row < targets; ++row) {
      const auto values = row_of(logits, static_cast<int64_t>(row));
      const TokenId token = tokens[first + row + 1];
      ScoredToken& item = scored.emplace_back();
      item.token = token;
      // A prompt may hold what the model never writes, such as a mask: it has probability 0.
      item.log_probability = sampler.writable(token) ? sampler.judge(values, token).log_probability
                                                     : -std::numeric_limits<double>::infinity();
      if (top > 0) item.top = sampler.best(values, top);
    }
  }
  return scored;
}

Engine::Engine(const LanguageModel& model, const EngineOptions& options)
    : model_(model),
      options_(options),
      step_(model, cost_, {}),
      thread_([this] { run(); }),
      alone_([this] { run_alone(); }) {}

Engine::~Engine() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
  alone_.join();
}

bool Engine::submit(std::span<const std::shared_ptr<EngineTask>> tasks) {
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(waiting_, [](const auto& task) { return task->cancelled(); });
    if (stopping_ || waiting_.size() + tasks.size() > options_.queue) return false;
    waiting_.insert(waiting_.end(), tasks.begin(), tasks.end());
  }
  wake_.notify_all();
  return true;
}

bool Engine::waits(bool alone) const {
  return std::any_of(waiting_.begin(), waiting_.end(),
                     [&](const auto& task) { return writes_alone(*task) == alone; });
}

bool Engine::stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void Engine::run() {
  while (admit()) {
    drop_cancelled();
    if (!sessions_.empty()) step();
  }
}

// Fills up what runs from what waits; sleeps where there is nothing to do. False: the end.
bool Engine::admit() {
  std::vector<std::shared_ptr<EngineTask>> fresh;
  {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return stopping_ || waits(false) || !sessions_.empty(); });
    if (stopping_) return false;
    for (auto at = waiting_.begin();
         at != waiting_.end() && sessions_.size() + fresh.size() < options_.batch;) {
      if (writes_alone(**at)) {
        ++at;
      } else {
        fresh.push_back(std::move(*at));
        at = waiting_.erase(at);
      }
    }
  }
  for (const auto& task : fresh) {
    if (!task->cancelled()) start(task);
  }
  return true;
}

void Engine::start(const std::shared_ptr<EngineTask>& task) {
  try {
    next_.emplace_back();
    auto sink = std::make_unique<TokenSink>([this, task = task.get()](TokenId) {
      const auto at = std::find_if(tasks_.begin(), tasks_.end(),
                                   [&](const auto& other) { return other.get() == task; });
      return task->on_token(std::move(next_[static_cast<size_t>(at - tasks_.begin())]));
    });
    auto running = std::make_unique<CausalSession>(model_, task->prompt, task->options, *sink,
                                                   draft_source(task->mode));
    running->acceptance = acceptance_;
    Session* session = &running->session;
    if (task->score_prompt) {
      KvCache cache = make_cache(model_.config(), task->options.precision);
      task->on_prompt(score_tokens(model_, task->prompt.tokens, task->options, task->top, cache));
      if (!session->done() && cache.length() > 1) {
        cache.truncate(cache.length() - 1);  // the last token is read again, to be continued
        session->adopt(cache);
      }
    }
    if (session->done()) {  // no token was wanted
      next_.pop_back();
      task->on_end(false);
      return;
    }
    tasks_.push_back(task);
    sinks_.push_back(std::move(sink));
    sessions_.push_back(std::move(running));
  } catch (const std::exception& error) {
    next_.resize(tasks_.size());
    task->on_failure(error.what());
  }
}

void Engine::step() {
  try {
    const bool logits_wanted =
        std::any_of(tasks_.begin(), tasks_.end(), [](const auto& task) { return task->top > 0; });
    step_.run(
        sessions_,
        [&](size_t i, std::span<const float> logits, Choice choice) {
          next_[i] = {choice.token, choice.log_probability, {}};
          if (tasks_[i]->top > 0) {
            next_[i].top = sessions_[i]->session.sampler().best(logits, tasks_[i]->top);
          }
        },
        logits_wanted);
  } catch (const std::exception& error) {
    // Nobody can say whose row it was, and no cache is whole: end them all.
    for (const auto& task : tasks_) task->on_failure(error.what());
    while (!tasks_.empty()) remove(tasks_.size() - 1);
    return;
  }
  for (size_t i = 0; i < sessions_.size();) {
    Session& session = sessions_[i]->session;
    if (!session.done()) {
      ++i;
      continue;
    }
    const bool stopped = session.finish().stopped;
    if (sessions_[i]->source == DraftSource::kMasks) acceptance_ = sessions_[i]->acceptance;
    const std::shared_ptr<EngineTask> task = tasks_[i];
    remove(i);
    task->on_end(stopped);
  }
}

void Engine::run_alone() {
  while (const std::shared_ptr<EngineTask> task = next_alone()) write_alone(*task);
}

// Null: the end.
std::shared_ptr<EngineTask> Engine::next_alone() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] { return stopping_ || waits(true); });
  if (stopping_) return nullptr;
  const auto at = std::find_if(waiting_.begin(), waiting_.end(),
                               [](const auto& task) { return writes_alone(*task); });
  std::shared_ptr<EngineTask> task = std::move(*at);
  waiting_.erase(at);
  return task;
}

void Engine::write_alone(EngineTask& task) {
  try {
    if (task.cancelled()) return;
    if (task.score_prompt) {
      KvCache cache = make_cache(model_.config(), task.options.precision);
      task.on_prompt(score_tokens(model_, task.prompt.tokens, task.options, task.top, cache));
    }
    bool dropped = false;
    const TokenSink sink = [&](TokenId token) {
      dropped = task.cancelled() || stopping();
      return !dropped && task.on_token({token, 0, {}});
    };
    const Generation text =
        make_decoder(task.mode, model_)->generate(task.prompt, task.options, sink);
    if (!dropped) task.on_end(text.stopped);
  } catch (const std::exception& error) {
    task.on_failure(error.what());
  }
}

void Engine::drop_cancelled() {
  for (size_t i = tasks_.size(); i-- > 0;) {
    if (tasks_[i]->cancelled()) remove(i);
  }
}

void Engine::remove(size_t index) {
  const auto at = static_cast<std::ptrdiff_t>(index);
  sessions_.erase(sessions_.begin() + at);
  sinks_.erase(sinks_.begin() + at);
  tasks_.erase(tasks_.begin() + at);
  next_.erase(next_.begin() + at);
}

}  // namespace alambic
