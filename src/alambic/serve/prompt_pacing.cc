#include "alambic/serve/prompt_pacing.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace alambic {

int PromptPacing::rows(double step_seconds) const {
  constexpr int kLeast = 32;       // fewer would use the machine badly
  constexpr int kMost = 256;       // more are hardly faster, each
  constexpr double kSteps = 4;     // of what is being written
  constexpr double kAlone = 0.15;  // seconds where nothing is
  constexpr int kFirst = 64;       // before anything was measured
  if (row_seconds_ == 0) return kFirst;
  const double seconds = step_seconds > 0 ? kSteps * step_seconds : kAlone;
  return static_cast<int>(std::clamp<double>(seconds / row_seconds_, kLeast, kMost));
}

void PromptPacing::observe(int64_t rows, double seconds) {
  constexpr double kNews = 0.25;    // weight of a new sample
  constexpr int64_t kTelling = 16;  // what fewer rows cost says little about many
  if (rows < kTelling || seconds <= 0) return;
  const double sample = seconds / static_cast<double>(rows);
  row_seconds_ = row_seconds_ == 0 ? sample : row_seconds_ + kNews * (sample - row_seconds_);
}

std::vector<int> share_rows(std::span<const int> left, int rows) {
  std::vector<int> shares(left.size());
  if (left.empty()) return shares;
  const auto give = [&](size_t i, int most) {
    const int share = std::min({left[i] - shares[i], rows, most});
    shares[i] += share;
    rows -= share;
  };
  give(0, (rows + 1) / 2);
  std::vector<size_t> order(left.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return left[a] < left[b]; });
  for (const size_t i : order) give(i, rows);
  return shares;
}

}  // namespace alambic
