#include "alambic/cli/bench_repeat.h"

#include <algorithm>
#include <vector>

#include "alambic/base/interrupt.h"
#include "alambic/base/progress.h"

namespace alambic {

namespace {

double seconds_of_one(const std::function<void()>& work) {
  throw_if_interrupted("bench", "no figures were kept");
  const Stopwatch watch;
  work();
  return watch.seconds();
}

}  // namespace

double median_seconds(const std::function<void()>& work, const Repetitions& repetitions) {
  for (int i = 0; i < repetitions.warm_up; ++i) work();
  std::vector<double> seconds;
  const Stopwatch all;
  while (
      static_cast<int>(seconds.size()) < repetitions.fewest ||
      (all.seconds() < repetitions.enough && static_cast<int>(seconds.size()) < repetitions.most)) {
    seconds.push_back(seconds_of_one(work));
  }
  const auto middle = seconds.begin() + static_cast<int64_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return *middle;
}

double fewest_seconds(const std::function<void()>& work, int times) {
  double fewest = seconds_of_one(work);
  for (int i = 1; i < times; ++i) fewest = std::min(fewest, seconds_of_one(work));
  return fewest;
}

}  // namespace alambic
