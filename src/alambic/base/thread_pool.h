// One process-wide pool for data-parallel loops. Work is cut into tasks whose number and bounds
// depend only on the problem, never on the thread count, so results are the same with 1 thread and
// with 64. Waiters spin briefly, then sleep. A caller waits for tasks, never for threads: one that
// gets no core in time takes no part. Thread safety: parallel_for may be called from one
// thread at a time; a call from inside a task runs serially.
#pragma once

#include <cstdint>
#include <functional>

namespace alambic {

// Threads used by parallel_for, the caller included. Default: cores this process may run on.
int thread_count();
void set_thread_count(int count);

// Calls task(i) once for every i in [0, count), in any order, and returns when all are done. `task`
// must not throw.
void parallel_for(int64_t count, const std::function<void(int64_t)>& task);

}  // namespace alambic
