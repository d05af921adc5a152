#include "alambic/base/thread_pool.h"

#include <immintrin.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace alambic {
namespace {

int cores_of_process() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

constexpr auto kSpin = std::chrono::microseconds(40);

// Spins until `done()` or the budget is spent; true if done.
template <class Predicate>
bool spin_until(const Predicate& done) {
  const auto limit = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (done()) return true;
      _mm_pause();
    }
  } while (std::chrono::steady_clock::now() < limit);
  return false;
}

class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }
  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      generation_.fetch_add(1);
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
  }
  int size() const { return static_cast<int>(workers_.size()) + 1; }

  void run(int64_t count, const std::function<void(int64_t)>& task) {
    task_ = &task;
    count_ = count;
    next_.store(0);
    busy_.store(static_cast<int>(workers_.size()));
    {
      const std::lock_guard lock(mutex_);
      generation_.fetch_add(1);
    }
    wake_.notify_all();
    drain();
    const auto idle = [this] { return busy_.load(std::memory_order_acquire) == 0; };
    if (!spin_until(idle)) {
      std::unique_lock lock(mutex_);
      finished_.wait(lock, idle);
    }
  }

 private:
  void drain() {
    for (;;) {
      const int64_t i = next_.fetch_add(1);
      if (i >= count_) return;
      (*task_)(i);
    }
  }
  void work() {
    uint64_t seen = 0;
    for (;;) {
      const auto changed = [&] { return generation_.load(std::memory_order_acquire) != seen; };
      if (!spin_until(changed)) {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, changed);
      }
      seen = generation_.load();
      if (stopping_) return;
      drain();
      if (busy_.fetch_sub(1) == 1) {
        const std::lock_guard lock(mutex_);
        finished_.notify_one();
      }
    }
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, finished_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int> busy_{0};
  std::atomic<bool> stopping_{false};
  int64_t count_ = 0;
  const std::function<void(int64_t)>* task_ = nullptr;
};

std::unique_ptr<Pool>& pool() {
  static std::unique_ptr<Pool> instance = std::make_unique<Pool>(cores_of_process());
  return instance;
}

thread_local bool inside_task = false;

}  // namespace

int thread_count() { return pool()->size(); }

void set_thread_count(int count) {
  count = std::clamp(count, 1, 256);
  if (count != thread_count()) pool() = std::make_unique<Pool>(count);
}

void parallel_for(int64_t count, const std::function<void(int64_t)>& task) {
  if (count <= 0) return;
  if (count == 1 || inside_task || thread_count() == 1) {
    for (int64_t i = 0; i < count; ++i) task(i);
    return;
  }
  const std::function<void(int64_t)> marked = [&task](int64_t i) {
    inside_task = true;
    task(i);
    inside_task = false;
  };
  pool()->run(count, marked);
}

}  // namespace alambic
