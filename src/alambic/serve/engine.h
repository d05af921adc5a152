// The engine: writes many texts at once with one model. Whatever waits is taken into the next
// forward as soon as there is room, so that requests that arrive together run together, each with
// the text it would have had alone. Prompts are read, and scored, in pieces between the steps of
// what is being written (prompt_pacing.h); who leaves frees the place at the next step. Texts by
// diffusion do not share forwards: they are written one after the other, beside those from left to
// right, on a thread of their own.
//
// Ownership: looks at the model, which must outlive it; shares tasks until they have ended.
// Thread safety: submit() and cancel() from any thread. A task is called on one of the engine's
// threads, always the same, and its calls must be quick. Errors: what a task asks for in vain, or
// what goes wrong under way, ends that task with on_failure(); the engine itself goes on.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "alambic/decode/causal_step.h"
#include "alambic/serve/prompt_pacing.h"
#include "alambic/serve/prompt_scorer.h"

namespace alambic {

// One text to write.
class EngineTask {
 public:
  EngineTask() = default;
  EngineTask(const EngineTask&) = delete;
  EngineTask& operator=(const EngineTask&) = delete;
  virtual ~EngineTask() = default;

  Prompt prompt;
  GenerateOptions options;
  DecodeMode mode = DecodeMode::kAutoregressive;
  int top = 0;                // so many most probable tokens beside each; not by diffusion
  bool score_prompt = false;  // on_prompt() is wanted
  std::shared_ptr<const TokenTrie> labels;  // keeps what options.constraint looks at

  // Every token of the prompt but the first, which nothing predicts. Comes before all else.
  virtual void on_prompt(std::vector<ScoredToken> tokens) = 0;
  // False: enough.
  virtual bool on_token(ScoredToken token) = 0;
  // `stopped`: by a stop token, rather than by a limit or on_token().
  virtual void on_end(bool stopped) = 0;
  virtual void on_failure(const std::string& message) = 0;

  // The task is dropped between two forwards; it is called no more.
  void cancel() { cancelled_ = true; }
  bool cancelled() const { return cancelled_; }
  const std::atomic<bool>& cancellation() const { return cancelled_; }

 private:
  std::atomic<bool> cancelled_ = false;
};

struct EngineOptions {
  size_t batch = 16;         // texts that are written at once
  size_t queue = 64;         // texts that may wait
  size_t places = 4;         // of the batch, for prompts that are not long
  size_t long_prompt = 256;  // tokens; what has more left to read keeps others waiting
};

class Engine {
 public:
  explicit Engine(const LanguageModel& model, const EngineOptions& options = {});
  // Drops what runs and waits.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Takes all tasks or, where they would not fit into the queue, none.
  bool submit(std::span<const std::shared_ptr<EngineTask>> tasks);
  const EngineOptions& options() const { return options_; }

 private:
  // What runs, beside its session, in the order in which it came.
  struct Running {
    std::shared_ptr<EngineTask> task;
    std::unique_ptr<TokenSink> sink;
    std::unique_ptr<PromptScorer> scorer;  // while the prompt is scored
    ScoredToken next;                      // what the session is about to settle
  };

  // `running_` and `sessions_` stand side by side; `waiting_` and `stopping_` alone are shared.
  void run();
  bool admit();
  size_t long_reads() const;
  void run_alone();
  std::shared_ptr<EngineTask> next_alone();
  void write_alone(EngineTask& task);
  bool waits(bool alone) const;
  bool stopping();
  void start(const std::shared_ptr<EngineTask>& task);
  void score();
  void score(size_t index, int rows);
  void share_out_rows();
  void step();
  void write();
  double writing_seconds() const;
  void end_finished();
  void drop_cancelled();
  void remove(size_t index);

  const LanguageModel& model_;
  EngineOptions options_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<EngineTask>> waiting_;
  bool stopping_ = false;

  std::vector<Running> running_;
  std::vector<std::unique_ptr<CausalSession>> sessions_;
  PromptPacing reading_, scoring_;
  RowCost cost_;
  Acceptance acceptance_;  // of the last texts that drafted, for the next ones
  CausalStep step_;
  std::thread thread_, alone_;  // last: they use everything above
};

}  // namespace alambic
