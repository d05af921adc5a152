// A run of `alambic bench` beside an earlier one. What counts is the share of the ceiling that was
// measured in the same run: machines differ, and the same machine has slower hours.
//
// Thread safety: pure functions. Errors: none.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "alambic/cli/bench_result.h"

namespace alambic {

// Ratios of shares below these are marked, and make the comparison fail.
inline constexpr double kSlower = 0.9, kRegression = 0.8;

// New divided by old.
struct Ratios {
  double share, tokens_per_s;
};

// Nothing where `baseline` has no such measurement.
std::optional<Ratios> ratios_to(const BenchResult& baseline, const BenchFigure& figure);

// A share below kRegression of the baseline's. oneDNN is not ours to judge.
bool regressed(const BenchResult& baseline, const BenchFigure& figure);

// Each figure of `first`, or of `again` where that measured the same work at a higher share of its
// own ceiling: other programs slow a measurement down, and nothing speeds it up.
BenchResult better_of(const BenchResult& first, const BenchResult& again);

// Whether the two have any measurement in common.
bool comparable(const BenchResult& baseline, const BenchResult& result);

// What has regressed, as "generate S int8 batch 1: 0.71".
std::vector<std::string> regressions(const BenchResult& baseline, const BenchResult& result);

}  // namespace alambic
