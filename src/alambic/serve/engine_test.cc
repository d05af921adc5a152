#include "alambic/serve/engine.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <thread>

#include "alambic/serve/test_service.h"

namespace alambic {
namespace {

// Collects what it is told; a test waits for the end.
class Recorder : public EngineTask {
 public:
  void on_prompt(std::vector<ScoredToken> tokens) override { scored = std::move(tokens); }
  bool on_token(ScoredToken token) override {
    written.push_back(token.token);
    std::unique_lock lock(mutex_);
    ++count_;
    wake_.notify_all();
    wake_.wait(lock, [&] { return !held_; });
    return true;
  }
  void on_end(bool) override { finish(); }
  void on_failure(const std::string& message) override {
    failure = message;
    finish();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return ended_; });
  }
  // Keeps the engine where it is from this task's next token on.
  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void wait_until_held() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return count_ > 0; });
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    wake_.notify_all();
  }

  std::vector<ScoredToken> scored;
  std::vector<TokenId> written;
  std::string failure;
  int ending = 0;  // a later one is larger

 private:
  void finish() {
    static std::atomic<int> endings = 0;
    const std::lock_guard lock(mutex_);
    ending = ++endings;
    ended_ = true;
    wake_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ended_ = false, held_ = false;
  int count_ = 0;
};

std::shared_ptr<Recorder> task(std::vector<TokenId> prompt, int max_tokens, uint64_t seed = 0) {
  auto recorder = std::make_shared<Recorder>();
  recorder->prompt = {std::move(prompt), 0};
  recorder->options.max_tokens = max_tokens;
  recorder->options.temperature = seed == 0 ? 0 : 1;
  recorder->options.seed = seed;
  return recorder;
}

bool submit(Engine& engine, const std::vector<std::shared_ptr<Recorder>>& recorders) {
  const std::vector<std::shared_ptr<EngineTask>> tasks(recorders.begin(), recorders.end());
  return engine.submit(tasks);
}

class EngineTest : public testing::Test {
 protected:
  Tokenizer tokenizer_ = small_tokenizer();
  std::unique_ptr<Transformer> model_ = small_model(tokenizer_);
};

TEST_F(EngineTest, TextsWrittenTogetherAreThoseWrittenAlone) {
  Engine engine(*model_, {.batch = 3, .queue = 64});
  std::vector<std::shared_ptr<Recorder>> tasks;
  for (int i = 0; i < 10; ++i) {
    std::vector<TokenId> prompt;
    for (int k = 0; k <= i; ++k) prompt.push_back(7 * k + i);
    tasks.push_back(task(prompt, 5 + 3 * i, static_cast<uint64_t>(i)));
  }
  ASSERT_TRUE(submit(engine, tasks));
  const auto alone = make_decoder(DecodeMode::kAutoregressive, *model_);
  for (const auto& t : tasks) {
    t->wait();
    EXPECT_EQ(t->written, alone->generate(t->prompt, t->options).tokens);
  }
}

// Whatever drafts stand, and whoever shares the forward.
TEST_F(EngineTest, DraftsChangeNothingThatIsWritten) {
  Engine engine(*model_, {.batch = 5, .queue = 64});
  std::vector<std::shared_ptr<Recorder>> tasks;
  for (int i = 0; i < 12; ++i) {
    auto& t = tasks.emplace_back(task({i, i + 1, 2 * i}, 60, static_cast<uint64_t>(i)));
    t->mode = std::array{DecodeMode::kAutoregressive, DecodeMode::kLookup,
                         DecodeMode::kSpeculative}[static_cast<size_t>(i % 3)];
    t->options.drafts = 3;
    t->options.outcomes = i % 2 == 0 ? 1 : kEveryOutcome;
    t->top = i % 4 == 0 ? 2 : 0;
  }
  ASSERT_TRUE(submit(engine, tasks));
  const auto alone = make_decoder(DecodeMode::kAutoregressive, *model_);
  for (const auto& t : tasks) {
    t->wait();
    EXPECT_EQ(t->written, alone->generate(t->prompt, t->options).tokens);
  }
}

// More rows than a forward has: 30 prompts of 200 tokens.
TEST_F(EngineTest, PromptsBeyondTheRowBudgetWaitAndChangeNothing) {
  Engine engine(*model_, {.batch = 30, .queue = 64});
  std::vector<std::shared_ptr<Recorder>> tasks;
  for (int i = 0; i < 30; ++i) {
    std::vector<TokenId> prompt;
    for (int k = 0; k < 200; ++k) prompt.push_back((k * (i + 3) + i) % 250);
    tasks.push_back(task(prompt, 6));
  }
  ASSERT_TRUE(submit(engine, tasks));
  const auto alone = make_decoder(DecodeMode::kAutoregressive, *model_);
  for (const auto& t : tasks) {
    t->wait();
    EXPECT_EQ(t->written, alone->generate(t->prompt, t->options).tokens);
  }
}

std::vector<TokenId> long_prompt() {
  std::vector<TokenId> prompt;
  for (int i = 0; i < 240; ++i) prompt.push_back(3 + i * 37 % 247);
  return prompt;
}

TEST_F(EngineTest, AShortPromptDoesNotWaitForALongOne) {
  Engine engine(*model_);
  const auto big = task(long_prompt(), 1), scored = task(long_prompt(), 1), small = task({1, 2}, 1);
  scored->score_prompt = true;
  ASSERT_TRUE(submit(engine, {big, scored, small}));
  for (const auto& t : {big, scored, small}) t->wait();
  EXPECT_LT(small->ending, big->ending);
  EXPECT_LT(small->ending, scored->ending);
  EXPECT_EQ(big->written, scored->written);
}

// More long prompts than there are places, and all of them came before.
TEST_F(EngineTest, AShortPromptDoesNotWaitForManyLongOnes) {
  Engine engine(*model_, {.batch = 3, .queue = 64, .places = 1, .long_prompt = 64});
  std::vector<std::shared_ptr<Recorder>> all;
  for (int i = 0; i < 6; ++i) all.push_back(task(long_prompt(), 1));
  all[1]->score_prompt = true;
  const auto small = task({1, 2}, 1);
  all.push_back(small);
  ASSERT_TRUE(submit(engine, all));
  for (const auto& t : all) {
    t->wait();
    EXPECT_LE(small->ending, t->ending);
    EXPECT_EQ(t->failure, "");
  }
}

// Both are dropped while their prompts are read.
TEST_F(EngineTest, WhoLeavesWhileAPromptIsReadIsNotAnswered) {
  Engine engine(*model_);
  const auto held = task({1}, 3), read = task(long_prompt(), 1), scored = task(long_prompt(), 1);
  scored->score_prompt = true;
  held->hold();
  ASSERT_TRUE(submit(engine, {held, read, scored}));
  held->wait_until_held();
  read->cancel();
  scored->cancel();
  held->let_go();
  held->wait();
  const auto later = task({2}, 1);
  ASSERT_TRUE(submit(engine, {later}));
  later->wait();
  EXPECT_EQ(held->written.size(), 3U);
  EXPECT_TRUE(read->written.empty());
  EXPECT_TRUE(scored->scored.empty());
  EXPECT_EQ(read->ending + scored->ending, 0);
}

TEST_F(EngineTest, ScoresDoNotDependOnPieces) {
  const std::vector<TokenId> tokens = long_prompt();
  const GenerateOptions options;
  std::vector<std::vector<ScoredToken>> scores;
  for (const int piece : {1, 7, 64, 1000}) {
    PromptScorer scorer(*model_, tokens, options, 2);
    while (!scorer.done()) scorer.read(piece);
    scores.push_back(scorer.take());
  }
  for (const auto& other : scores) {
    ASSERT_EQ(other.size(), tokens.size() - 1);
    for (size_t i = 0; i < other.size(); ++i) {
      EXPECT_EQ(other[i].log_probability, scores[0][i].log_probability);
      EXPECT_EQ(other[i].top[1].token, scores[0][i].top[1].token);
    }
  }
}

TEST_F(EngineTest, DiffusionIsWrittenBesideTheOthers) {
  Engine engine(*model_, {.batch = 1, .queue = 8});
  const auto held = task({1}, 200), by_diffusion = task({2, 3}, 30);
  held->hold();
  by_diffusion->mode = DecodeMode::kDiffusion;
  by_diffusion->options.reveal.threshold = 0.2;
  ASSERT_TRUE(submit(engine, {held, by_diffusion}));
  held->wait_until_held();
  by_diffusion->wait();
  held->let_go();
  EXPECT_EQ(by_diffusion->written, make_decoder(DecodeMode::kDiffusion, *model_)
                                       ->generate(by_diffusion->prompt, by_diffusion->options)
                                       .tokens);
}

TEST_F(EngineTest, AnEngineThatEndsDropsWhatDiffusionWrites) {
  const auto held = task({2, 3}, 200);
  held->mode = DecodeMode::kDiffusion;
  std::thread opener;
  {
    Engine engine(*model_, {.batch = 1, .queue = 8});
    held->hold();
    ASSERT_TRUE(submit(engine, {held}));
    held->wait_until_held();
    opener = std::thread([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));  // the engine ends meanwhile
      held->let_go();
    });
  }
  opener.join();
  EXPECT_LT(held->written.size(), 200U);
}

TEST_F(EngineTest, AFullQueueRefusesAllOrNothing) {
  Engine engine(*model_, {.batch = 1, .queue = 2});
  const auto running = task({1}, 200);
  running->hold();
  ASSERT_TRUE(submit(engine, {running}));
  running->wait_until_held();
  ASSERT_TRUE(submit(engine, {task({2}, 1)}));
  EXPECT_FALSE(submit(engine, {task({3}, 1), task({4}, 1)}));
  EXPECT_TRUE(submit(engine, {task({5}, 1)}));
  running->let_go();
}

TEST_F(EngineTest, ACancelledTaskMakesRoom) {
  Engine engine(*model_, {.batch = 1, .queue = 4});
  const auto first = task({1}, 250), waiting = task({2}, 250), last = task({3}, 2);
  first->hold();
  ASSERT_TRUE(submit(engine, {first, waiting, last}));
  first->wait_until_held();
  waiting->cancel();
  first->cancel();
  first->let_go();
  last->wait();
  EXPECT_EQ(last->written.size(), 2U);
  EXPECT_EQ(first->written.size(), 1U);
  EXPECT_TRUE(waiting->written.empty());
}

TEST_F(EngineTest, ABadPromptFailsAloneAndByName) {
  Engine engine(*model_);
  const auto bad = task({100000}, 3), good = task({1}, 3);
  ASSERT_TRUE(submit(engine, {bad, good}));
  bad->wait();
  good->wait();
  EXPECT_NE(bad->failure.find("100000"), std::string::npos);
  EXPECT_EQ(good->written.size(), 3U);
}

// Reference: log-softmax of the logits of one forward over the whole text but MASK, in double.
TEST_F(EngineTest, AScoredPromptHasTheLogProbabilitiesOfAFullForward) {
  std::vector<TokenId> prompt;
  for (int i = 0; i < 200; ++i) prompt.push_back(3 + i * 37 % 247);
  Engine engine(*model_);
  const auto t = task(prompt, 4);
  t->score_prompt = true;
  t->top = 3;
  ASSERT_TRUE(submit(engine, {t}));
  t->wait();
  ASSERT_EQ(t->scored.size(), prompt.size() - 1);
  const Forward forward{{{static_cast<int>(prompt.size()), 0}}, Precision::kFp32};
  const Tensor logits = model_->logits(model_->hidden(prompt, forward), Precision::kFp32);
  for (size_t i = 0; i + 1 < prompt.size(); ++i) {
    const auto row = row_of(logits, static_cast<int64_t>(i));
    double sum = 0;  // MASK is never written, and has no share
    for (const float x : row) sum += std::exp(static_cast<double>(x));
    sum -= std::exp(static_cast<double>(row[static_cast<size_t>(model_->config().mask)]));
    const double want = row[static_cast<size_t>(prompt[i + 1])] - std::log(sum);
    ASSERT_NEAR(t->scored[i].log_probability, want, 1e-4) << i;
    ASSERT_EQ(t->scored[i].top.size(), 3U);
    ASSERT_EQ(t->scored[i].top[0].token, std::max_element(row.begin(), row.end()) - row.begin());
    ASSERT_GE(t->scored[i].top[0].log_probability, t->scored[i].top[1].log_probability);
  }
  const auto plain = task(prompt, 4);
  ASSERT_TRUE(submit(engine, {plain}));
  plain->wait();
  EXPECT_EQ(t->written, plain->written);
}

}  // namespace
}  // namespace alambic
