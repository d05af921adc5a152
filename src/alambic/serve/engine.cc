#include "alambic/serve/engine.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/base/progress.h"

namespace alambic {
namespace {

bool writes_alone(const EngineTask& task) { return task.mode == DecodeMode::kDiffusion; }

DraftSource draft_source(DecodeMode mode) {
  if (mode == DecodeMode::kLookup) return DraftSource::kLookup;
  return mode == DecodeMode::kSpeculative ? DraftSource::kMasks : DraftSource::kNone;
}

}  // namespace

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
    step();
  }
}

// How many of those that run have much of their prompt before them.
size_t Engine::long_reads() const {
  size_t count = 0;
  for (size_t i = 0; i < running_.size(); ++i) {
    const PromptScorer* scorer = running_[i].scorer.get();
    const size_t left = scorer == nullptr ? sessions_[i]->session.pending.size()
                                          : static_cast<size_t>(scorer->left());
    count += left > options_.long_prompt ? 1 : 0;
  }
  return count;
}

// Fills up what runs from what waits; sleeps where there is nothing to do. Long prompts leave some
// places to short ones, which would wait for minutes behind a full batch of them. False: the end.
bool Engine::admit() {
  size_t room = options_.batch - std::min(options_.places, options_.batch - 1);
  room -= std::min(room, long_reads());
  std::vector<std::shared_ptr<EngineTask>> fresh;
  {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return stopping_ || waits(false) || !running_.empty(); });
    if (stopping_) return false;
    for (auto at = waiting_.begin();
         at != waiting_.end() && running_.size() + fresh.size() < options_.batch;) {
      const bool reads_long = (*at)->prompt.tokens.size() > options_.long_prompt;
      if (writes_alone(**at) || (reads_long && room == 0)) {
        ++at;
      } else {
        room -= reads_long ? 1 : 0;
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
    auto sink = std::make_unique<TokenSink>([this, task = task.get()](TokenId) {
      const auto at = std::find_if(running_.begin(), running_.end(),
                                   [&](const Running& other) { return other.task.get() == task; });
      return task->on_token(std::move(at->next));
    });
    auto session = std::make_unique<CausalSession>(model_, task->prompt, task->options, *sink,
                                                   draft_source(task->mode));
    session->acceptance = acceptance_;
    std::unique_ptr<PromptScorer> scorer;
    if (task->score_prompt) {
      scorer =
          std::make_unique<PromptScorer>(model_, task->prompt.tokens, task->options, task->top);
    }
    running_.push_back({task, std::move(sink), std::move(scorer), {}});
    sessions_.push_back(std::move(session));
  } catch (const std::exception& error) {
    running_.resize(sessions_.size());
    task->on_failure(error.what());
  }
}

// A piece of the prompts that are scored, then one of those that are read, in the same forward as
// the next tokens of what is being written.
void Engine::step() {
  score();
  end_finished();
  write();
  end_finished();
}

// What the texts that are being written take of a step.
double Engine::writing_seconds() const {
  const auto writers = std::count_if(sessions_.begin(), sessions_.end(), [](const auto& running) {
    return running->session.pending.size() == 1;
  });
  return writers == 0 ? 0 : cost_.seconds(writers);
}

void Engine::score() {
  std::vector<size_t> scored;
  std::vector<int> left;
  for (size_t i = 0; i < running_.size(); ++i) {
    if (running_[i].scorer == nullptr) continue;
    scored.push_back(i);
    left.push_back(running_[i].scorer->left());
  }
  if (scored.empty()) return;
  const std::vector<int> shares = share_rows(left, scoring_.rows(writing_seconds()));
  for (size_t k = scored.size(); k-- > 0;) {
    if (shares[k] > 0) score(scored[k], shares[k]);
  }
}

void Engine::score(size_t index, int rows) {
  Running& running = running_[index];
  PromptScorer& scorer = *running.scorer;
  try {
    const Stopwatch watch;
    const int read = scorer.read(rows);
    scoring_.observe(read, watch.seconds());
    if (!scorer.done()) return;
    running.task->on_prompt(scorer.take());
    Session& session = sessions_[index]->session;
    KvCache& cache = scorer.cache();
    if (!session.done() && cache.length() > 1) {
      cache.truncate(cache.length() - 1);  // the last token is read again, to be continued
      session.adopt(cache);
    }
    running.scorer.reset();
  } catch (const std::exception& error) {
    const std::shared_ptr<EngineTask> task = running.task;
    remove(index);
    task->on_failure(error.what());
  }
}

// How much of its prompt each session reads in the next forward.
void Engine::share_out_rows() {
  std::vector<size_t> readers;
  std::vector<int> left;
  for (size_t i = 0; i < running_.size(); ++i) {
    const size_t pending = sessions_[i]->session.pending.size();
    sessions_[i]->piece = running_[i].scorer == nullptr ? 1 : 0;
    if (running_[i].scorer != nullptr || pending == 1) continue;
    readers.push_back(i);
    left.push_back(static_cast<int>(pending));
  }
  if (readers.empty()) return;
  const std::vector<int> shares = share_rows(left, reading_.rows(writing_seconds()));
  for (size_t k = 0; k < readers.size(); ++k) sessions_[readers[k]]->piece = shares[k];
}

void Engine::write() {
  share_out_rows();
  const auto takes_part = [](const auto& running) { return running->piece > 0; };
  if (std::none_of(sessions_.begin(), sessions_.end(), takes_part)) return;
  int64_t reading = 0;
  for (const auto& running : sessions_) {
    if (running->session.pending.size() > 1) reading += running->piece;
  }
  const double writing = writing_seconds();
  const bool logits_wanted = std::any_of(running_.begin(), running_.end(), [](const Running& r) {
    return r.task->top > 0 && r.scorer == nullptr;
  });
  try {
    const Stopwatch watch;
    step_.run(
        sessions_,
        [&](size_t i, std::span<const float> logits, Choice choice) {
          running_[i].next = {choice.token, choice.log_probability, {}};
          if (const int top = running_[i].task->top; top > 0) {
            running_[i].next.top = sessions_[i]->session.sampler().best(logits, top);
          }
        },
        logits_wanted);
    reading_.observe(reading, watch.seconds() - writing);
  } catch (const std::exception& error) {
    // Nobody can say whose row it was, and no cache is whole: end all that took part.
    for (size_t i = running_.size(); i-- > 0;) {
      if (!takes_part(sessions_[i])) continue;
      const std::shared_ptr<EngineTask> task = running_[i].task;
      remove(i);
      task->on_failure(error.what());
    }
  }
}

void Engine::end_finished() {
  for (size_t i = 0; i < running_.size();) {
    Session& session = sessions_[i]->session;
    if (!session.done() || running_[i].scorer != nullptr) {
      ++i;
      continue;
    }
    const bool stopped = session.finish().stopped;
    if (sessions_[i]->source == DraftSource::kMasks) acceptance_ = sessions_[i]->acceptance;
    const std::shared_ptr<EngineTask> task = running_[i].task;
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
  constexpr int kScoredRows = 128;
  try {
    if (task.cancelled()) return;
    task.options.abandoned = &task.cancellation();
    if (task.score_prompt) {
      PromptScorer scorer(model_, task.prompt.tokens, task.options, task.top);
      while (!scorer.done()) {
        if (task.cancelled() || stopping()) return;
        scorer.read(kScoredRows);
      }
      task.on_prompt(scorer.take());
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
    if (!task.cancelled()) task.on_failure(error.what());
  }
}

void Engine::drop_cancelled() {
  for (size_t i = running_.size(); i-- > 0;) {
    if (running_[i].task->cancelled()) remove(i);
  }
}

void Engine::remove(size_t index) {
  const auto at = static_cast<std::ptrdiff_t>(index);
  sessions_.erase(sessions_.begin() + at);  // looks at its sink
  running_.erase(running_.begin() + at);
}

}  // namespace alambic
