#include "alambic/decode/quality.h"

#include <algorithm>

#include "alambic/base/error.h"

namespace alambic {

std::vector<QualityPoint> frontier(std::vector<QualityPoint> points) {
  std::stable_sort(points.begin(), points.end(), [](const QualityPoint& a, const QualityPoint& b) {
    return a.speed != b.speed ? a.speed > b.speed : a.kept > b.kept;
  });
  std::vector<QualityPoint> best;
  best.reserve(points.size());
  for (const QualityPoint& point : points) {
    if (best.empty() || point.kept > best.back().kept) best.push_back(point);
  }
  return best;
}

double area_under(std::span<const QualityPoint> dial) {
  double area = 0;
  for (size_t i = 0; i < dial.size(); ++i) {
    const double slower = i + 1 < dial.size() ? dial[i + 1].speed : 1;
    // Between the next slower setting's speed and this one's, this one is the best to be had.
    area += dial[i].kept * std::max(0.0, std::max(1.0, dial[i].speed) - std::max(1.0, slower));
  }
  return area;
}

const QualityPoint& choose_quality(std::span<const QualityPoint> dial, double quality) {
  if (!(quality >= 0 && quality <= 1)) {
    fail(ErrorCode::kInvalidArgument, "[--quality] got {}, want 0 to 1", quality);
  }
  if (dial.empty()) {
    fail(ErrorCode::kUnsupported,
         "[--quality] this model's settings were not measured; alambic calibrate does that");
  }
  const auto lossless =
      std::find_if(dial.begin(), dial.end(), [](const QualityPoint& p) { return p.lossless; });
  if (quality >= 1 && lossless != dial.end()) return *lossless;
  const double worst = dial.front().kept, best = dial.back().kept;
  const double wanted = worst + quality * (best - worst);
  for (const QualityPoint& point : dial) {
    if (point.kept >= wanted) return point;
  }
  return dial.back();
}

DecodeMode apply(const QualityPoint& point, GenerateOptions& options) {
  if (point.lossless) return DecodeMode::kSpeculative;
  options.reveal = {.rule = RevealRule::kThreshold, .threshold = point.threshold};
  options.remask = point.remask;
  return DecodeMode::kDiffusion;
}

}  // namespace alambic
