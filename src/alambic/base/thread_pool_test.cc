#include "alambic/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

namespace alambic {
namespace {

class ThreadPool : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    before_ = thread_count();
    set_thread_count(GetParam());
  }
  void TearDown() override { set_thread_count(before_); }
  int before_ = 1;
};

TEST_P(ThreadPool, EveryTaskRunsOnce) {
  for (const int64_t count : {0, 1, 2, 7, 1000, 3'000'001}) {
    std::vector<uint8_t> runs(static_cast<size_t>(count));
    parallel_for(count, [&](int64_t i) { ++runs[static_cast<size_t>(i)]; });
    EXPECT_EQ(std::accumulate(runs.begin(), runs.end(), int64_t{0}), count);
    for (const uint8_t n : runs) ASSERT_EQ(n, 1);
  }
}

// Jobs so short that workers meet the end of one and the beginning of the next at the same time.
TEST_P(ThreadPool, AJobIsOverWhenItReturns) {
  for (int64_t job = 0; job < 30000; ++job) {
    std::vector<int64_t> out(static_cast<size_t>(1 + job % 5), -1);
    parallel_for(static_cast<int64_t>(out.size()),
                 [&](int64_t i) { out[static_cast<size_t>(i)] = job + i; });
    for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], job + static_cast<int64_t>(i));
  }
}

TEST_P(ThreadPool, ALoopInsideATaskRunsToItsEnd) {
  std::atomic<int64_t> sum = 0;
  parallel_for(50, [&](int64_t i) { parallel_for(20, [&](int64_t j) { sum += i * j; }); });
  EXPECT_EQ(sum, (49 * 50 / 2) * (19 * 20 / 2));
}

TEST_P(ThreadPool, ThreadsMayCallItAtTheSameTime) {
  std::atomic<int64_t> wrong = 0;
  const auto caller = [&](int64_t first) {
    for (int64_t job = 0; job < 3000; ++job) {
      std::vector<int64_t> out(static_cast<size_t>(1 + job % 7), -1);
      parallel_for(static_cast<int64_t>(out.size()),
                   [&](int64_t i) { out[static_cast<size_t>(i)] = first + i; });
      for (size_t i = 0; i < out.size(); ++i) wrong += out[i] != first + static_cast<int64_t>(i);
    }
  };
  std::vector<std::thread> callers;
  callers.reserve(3);
  for (int64_t c = 1; c <= 3; ++c) callers.emplace_back(caller, 100 * c);
  for (std::thread& t : callers) t.join();
  EXPECT_EQ(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPool, testing::Values(1, 2, 5));

}  // namespace
}  // namespace alambic
