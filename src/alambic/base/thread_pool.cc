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

// What is left of a job, in one word, so that claiming a task and checking which job it belongs to
// are one step: a worker that comes late, because another program had its core, finds nothing to do
// and holds up nobody.
struct Ticket {
  static constexpr int kIndexBits = 20;
  static constexpr uint64_t kMostTasks = (uint64_t{1} << kIndexBits) - 1;

  uint64_t job, next, count;

  static Ticket read(uint64_t word) {
    return {word >> (2 * kIndexBits), (word >> kIndexBits) & kMostTasks, word & kMostTasks};
  }
  uint64_t word() const { return job << (2 * kIndexBits) | next << kIndexBits | count; }
};

class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }
  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
  }
  int size() const { return static_cast<int>(workers_.size()) + 1; }
  // Held by the caller that run() works for.
  std::mutex& caller() { return caller_; }

  // 1 <= count <= Ticket::kMostTasks
  void run(uint64_t count, const TaskRef& task) {
    task_ = &task;
    done_.store(0, std::memory_order_relaxed);
    const uint64_t job = Ticket::read(ticket_.load(std::memory_order_relaxed)).job + 1;
    {
      const std::lock_guard lock(mutex_);
      ticket_.store(Ticket{job, 0, count}.word(), std::memory_order_release);
    }
    wake_.notify_all();
    drain();
    const auto finished = [&] { return done_.load(std::memory_order_acquire) == count; };
    if (!spin_until(finished)) {
      std::unique_lock lock(mutex_);
      finished_.wait(lock, finished);
    }
  }

 private:
  bool work_left() const {
    const Ticket ticket = Ticket::read(ticket_.load(std::memory_order_acquire));
    return ticket.next < ticket.count;
  }
  // Claims and runs tasks until none is left. task_ is the claimed job's: run() returns, and
  // another job begins, only when every claimed task is done.
  void drain() {
    uint64_t word = ticket_.load(std::memory_order_acquire);
    for (;;) {
      Ticket ticket = Ticket::read(word);
      if (ticket.next >= ticket.count) return;
      const uint64_t index = ticket.next++;
      if (!ticket_.compare_exchange_weak(word, ticket.word(), std::memory_order_acq_rel,
                                         std::memory_order_acquire)) {
        continue;
      }
      (*task_)(static_cast<int64_t>(index));
      if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == ticket.count) {
        const std::lock_guard lock(mutex_);
        finished_.notify_one();
      }
      word = ticket_.load(std::memory_order_acquire);
    }
  }
  void work() {
    for (;;) {
      const auto wanted = [this] { return work_left() || stopping_.load(); };
      if (!spin_until(wanted)) {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, wanted);
      }
      if (stopping_.load()) return;
      drain();
    }
  }

  std::vector<std::thread> workers_;
  std::mutex caller_;
  std::mutex mutex_;
  std::condition_variable wake_, finished_;
  std::atomic<uint64_t> ticket_{0};
  std::atomic<uint64_t> done_{0};
  std::atomic<bool> stopping_{false};
  const TaskRef* task_ = nullptr;
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

void parallel_for(int64_t count, TaskRef task) {
  if (count <= 0) return;
  const auto alone = [&] {
    for (int64_t i = 0; i < count; ++i) task(i);
  };
  if (count == 1 || inside_task || thread_count() == 1) return alone();
  const std::unique_lock caller(pool()->caller(), std::try_to_lock);
  if (!caller) return alone();
  // More tasks than a ticket can count are handed out several at a time.
  const auto most = static_cast<int64_t>(Ticket::kMostTasks);
  const int64_t stride = (count + most - 1) / most;
  const auto marked = [&](int64_t first) {
    inside_task = true;
    for (int64_t i = first * stride; i < std::min(count, (first + 1) * stride); ++i) task(i);
    inside_task = false;
  };
  pool()->run(static_cast<uint64_t>((count + stride - 1) / stride), TaskRef(marked));
}

}  // namespace alambic
