#include "alambic/decode/row_cost.h"

#include <algorithm>
#include <cmath>

namespace alambic {
namespace {

constexpr int64_t kExactRows = 48;  // wider forwards share a mean with those of about their width
constexpr double kStep = 1.2;       // ratio of neighbouring widths there

int64_t bucket_of(int64_t rows) {
  if (rows <= kExactRows) return rows;
  const double steps =
      std::round(std::log(static_cast<double>(rows) / kExactRows) / std::log(kStep));
  return std::llround(kExactRows * std::pow(kStep, steps));
}

}  // namespace

void RowCost::observe(int64_t rows, double seconds) {
  constexpr int kTrusted = 3;        // before, the fastest sample is the best guess
  constexpr double kNews = 0.15;     // weight of a new sample
  constexpr double kFresh = 16;      // observations after which a mean has aged
  constexpr double kMostNews = 0.5;  // weight of a sample beside an old mean
  constexpr double kOutlier = 2;     // times the mean: no sample counts for more
  if (rows < 1 || seconds <= 0) return;
  Mean& mean = measured_[bucket_of(rows)];
  const auto age = static_cast<double>(++time_ - mean.time);
  mean.time = time_;
  if (mean.samples < kTrusted) {
    mean.seconds = mean.samples == 0 ? seconds : std::min(mean.seconds, seconds);
    ++mean.samples;
  } else {
    const double news = std::clamp(kNews * age / kFresh, kNews, kMostNews);
    mean.seconds += news * (std::min(seconds, kOutlier * mean.seconds) - mean.seconds);
  }
}

void RowCost::suppose(int64_t rows, double seconds) {
  if (rows >= 1 && seconds > 0) measured_.try_emplace(bucket_of(rows), Mean{seconds, 0, 0});
}

bool RowCost::knows(int64_t rows) const {
  const auto found = measured_.find(bucket_of(rows));
  return found != measured_.end() && found->second.samples > 0;
}

double RowCost::seconds(int64_t rows) const {
  constexpr double kHopefulShare = 1.0 / 64;  // of a forward of one row, for each further row
  if (measured_.empty()) return 0;
  const int64_t bucket = bucket_of(rows);
  const auto above = measured_.lower_bound(bucket);
  double bound = INFINITY;
  for (auto it = above; it != measured_.end(); ++it) bound = std::min(bound, it->second.seconds);
  if (above != measured_.end() && above->first == bucket) return bound;
  if (above == measured_.begin()) {
    // Narrower than anything known: hopefully as much cheaper as it has fewer rows.
    return bound * static_cast<double>(bucket) / static_cast<double>(above->first);
  }
  const auto below = std::prev(above);
  const auto distance = static_cast<double>(bucket - below->first);
  const double floor = std::min(below->second.seconds, bound);
  if (above == measured_.end()) {
    return floor * (1 + kHopefulShare * distance);
  }
  return floor + (bound - floor) * distance / static_cast<double>(above->first - below->first);
}

}  // namespace alambic
