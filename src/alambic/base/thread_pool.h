// One process-wide pool for data-parallel loops. Work is cut into tasks whose number and bounds
// depend only on the problem, never on the thread count, so results are the same with 1 thread and
// with 64. Waiters spin briefly, then sleep. A caller waits for tasks, never for threads: one that
// gets no core in time takes no part. Thread safety: parallel_for from any thread; a call from
// inside a task, or while the pool works for another thread, runs on its own thread alone.
// set_thread_count() while nothing runs.
#pragma once

#include <cstdint>

namespace alambic {

// Threads used by parallel_for, the caller included. Default: cores this process may run on.
int thread_count();
void set_thread_count(int count);

// A reference to something that is called with a task's number. Looks at it only.
class TaskRef {
 public:
  template <class Task>
  explicit TaskRef(const Task& task)
      : task_(&task), call_([](const void* t, int64_t i) { (*static_cast<const Task*>(t))(i); }) {}
  void operator()(int64_t i) const { call_(task_, i); }

 private:
  const void* task_;
  void (*call_)(const void*, int64_t);
};

// Calls task(i) once for every i in [0, count), in any order, and returns when all are done. `task`
// must not throw.
void parallel_for(int64_t count, TaskRef task);
template <class Task>
void parallel_for(int64_t count, const Task& task) {
  parallel_for(count, TaskRef(task));
}

}  // namespace alambic
