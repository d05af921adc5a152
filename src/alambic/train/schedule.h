// Learning rate over a run, as a fraction of the peak.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>

#include "alambic/base/error.h"

namespace alambic {

// Linear warm-up, then: cosine to `floor`; linear to `floor`; or warm-up, stable, decay (WSD: flat,
// then linear to `floor` over the last `cooldown` of the run; Hägele et al. 2024).
enum class ScheduleKind { kCosine, kLinear, kWsd };

inline ScheduleKind schedule_from_name(const std::string& name) {
  if (name == "cosine") return ScheduleKind::kCosine;
  if (name == "linear") return ScheduleKind::kLinear;
  if (name == "wsd") return ScheduleKind::kWsd;
  fail(ErrorCode::kInvalidArgument,
       "[schedule] unknown schedule \"{}\"; want cosine, linear or wsd", name);
}

struct Schedule {
  ScheduleKind kind = ScheduleKind::kLinear;
  int64_t steps = 1;
  int64_t warmup = 0;
  double floor = 0;
  double cooldown = 0.5;

  // The factor for step t in [0, steps).
  double factor(int64_t t) const {
    if (t < warmup) return static_cast<double>(t + 1) / static_cast<double>(warmup);
    const double x =
        static_cast<double>(t - warmup) / static_cast<double>(std::max<int64_t>(1, steps - warmup));
    double fall = x;
    if (kind == ScheduleKind::kCosine) fall = (1 - std::cos(std::numbers::pi * x)) / 2;
    if (kind == ScheduleKind::kWsd) fall = std::max(0.0, (x - (1 - cooldown)) / cooldown);
    return 1 - (1 - floor) * std::min(1.0, fall);
  }
};

}  // namespace alambic
