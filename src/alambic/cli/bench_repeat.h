// How long a piece of work takes, by doing it again and again.
//
// Thread safety: one thread. Errors: kInterrupted after Ctrl-C, and what the work throws.
#pragma once

#include <functional>

namespace alambic {

struct Repetitions {
  int warm_up, fewest, most;
  double enough;  // seconds after which `fewest` suffice
};

// The median duration of `work` in seconds.
double median_seconds(const std::function<void()>& work, const Repetitions& repetitions);
// The shortest of `times` durations: for short work beside ceilings, which are best moments too.
double fewest_seconds(const std::function<void()>& work, int times);

}  // namespace alambic
