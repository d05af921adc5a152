#include "alambic/eval/interval.h"

#include <algorithm>
#include <cmath>

#include "alambic/base/error.h"
#include "alambic/base/rng.h"

namespace alambic {
namespace {

constexpr double kPi = 3.14159265358979323846;

void require_usable(const Evidence& evidence) {
  if (evidence.width < 1 || evidence.value == nullptr || evidence.rows.empty() ||
      evidence.rows.size() % static_cast<size_t>(evidence.width) != 0) {
    fail(ErrorCode::kInvalidArgument, "[score] nothing to score; got {} examples, want 1 or more",
         evidence.examples());
  }
}

void require_paired(const Evidence& a, const Evidence& b) {
  require_usable(a);
  require_usable(b);
  if (a.examples() != b.examples()) {
    fail(ErrorCode::kInvalidArgument,
         "[score] a paired comparison needs the same examples; got {} and {}", a.examples(),
         b.examples());
  }
}

double value_with_counts(const Evidence& evidence, std::span<const int> counts,
                         std::vector<double>& totals) {
  const size_t width = static_cast<size_t>(evidence.width);
  totals.assign(width, 0.0);
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    const double* row = evidence.rows.data() + i * width;
    for (size_t k = 0; k < width; ++k) totals[k] += counts[i] * row[k];
  }
  return evidence.value(totals);
}

// Calls visit(values) once a resample, values[s] being system s on that resample: all systems see
// the same one.
template <class Visit>
void resample(std::span<const Evidence* const> systems, const BootstrapOptions& options,
              const Visit& visit) {
  const uint64_t n = static_cast<uint64_t>(systems[0]->examples());
  std::vector<int> counts(n);
  std::vector<double> totals, values(systems.size());
  Rng rng(options.seed);
  for (int r = 0; r < options.resamples; ++r) {
    std::fill(counts.begin(), counts.end(), 0);
    for (uint64_t i = 0; i < n; ++i) ++counts[rng.below(n)];
    for (size_t s = 0; s < systems.size(); ++s) {
      values[s] = value_with_counts(*systems[s], counts, totals);
    }
    visit(values);
  }
}

// Linear interpolation between order statistics.
double quantile(const std::vector<double>& sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

Interval central_95(std::vector<double>& draws) {
  std::sort(draws.begin(), draws.end());
  return {quantile(draws, 0.025), quantile(draws, 0.975)};
}

double mean_of_totals(std::span<const double> totals) { return totals[0] / totals[1]; }

}  // namespace

Evidence mean_evidence(std::span<const double> values) {
  Evidence evidence{2, {}, mean_of_totals};
  evidence.rows.reserve(2 * values.size());
  for (const double value : values) {
    evidence.rows.push_back(value);
    evidence.rows.push_back(1);
  }
  return evidence;
}

double value_of(const Evidence& evidence) {
  require_usable(evidence);
  const std::vector<int> once(static_cast<size_t>(evidence.examples()), 1);
  std::vector<double> totals;
  return value_with_counts(evidence, once, totals);
}

Score score_of(const Evidence& evidence, const BootstrapOptions& options) {
  const double value = value_of(evidence);
  Score score{value, {value, value}, evidence.examples()};
  if (score.n < 2 || options.resamples < 1) return score;
  std::vector<double> draws;
  const Evidence* const systems[] = {&evidence};
  resample(systems, options, [&](const std::vector<double>& v) { draws.push_back(v[0]); });
  score.interval = central_95(draws);
  return score;
}

PairedComparison paired_bootstrap(const Evidence& a, const Evidence& b,
                                  const BootstrapOptions& options) {
  require_paired(a, b);
  PairedComparison result;
  result.difference = value_of(a) - value_of(b);
  std::vector<double> draws;
  double wins = 0;
  const Evidence* const systems[] = {&a, &b};
  BootstrapOptions at_least_one = options;
  at_least_one.resamples = std::max(1, options.resamples);
  resample(systems, at_least_one, [&](const std::vector<double>& v) {
    draws.push_back(v[0] - v[1]);
    wins += v[0] > v[1] ? 1.0 : v[0] == v[1] ? 0.5 : 0.0;
  });
  result.probability = wins / static_cast<double>(draws.size());
  result.interval = central_95(draws);
  return result;
}

GapClosed gap_closed(const Evidence& teacher, const Evidence& student, const Evidence& control,
                     bool lower_is_better, const BootstrapOptions& options) {
  return gap_share(teacher, control, control, student, lower_is_better, options);
}

GapClosed gap_share(const Evidence& teacher, const Evidence& control, const Evidence& from,
                    const Evidence& to, bool lower_is_better, const BootstrapOptions& options) {
  for (const Evidence* one : {&teacher, &from, &to}) require_paired(*one, control);
  GapClosed gap;
  const PairedComparison lead = lower_is_better ? paired_bootstrap(control, teacher, options)
                                                : paired_bootstrap(teacher, control, options);
  if (!(lead.difference > 0)) {
    gap.reason = "the teacher does not beat the control, so there is no gap to close";
    return gap;
  }
  if (!(lead.interval.low > 0)) {
    gap.reason = fmt::format(
        "the teacher's lead over the control is within the noise of {} examples (95 % interval of "
        "the difference: {:.4g} to {:.4g})",
        teacher.examples(), lead.interval.low, lead.interval.high);
    return gap;
  }
  gap.value = (value_of(to) - value_of(from)) / (value_of(teacher) - value_of(control));
  std::vector<double> draws;
  const Evidence* const systems[] = {&teacher, &control, &from, &to};
  const double sign = lower_is_better ? -1 : 1;
  resample(systems, options, [&](const std::vector<double>& v) {
    // The few resamples in which the teacher does not lead have no gap to speak of.
    if (sign * (v[0] - v[1]) > 0) draws.push_back((v[3] - v[2]) / (v[0] - v[1]));
  });
  if (!draws.empty()) gap.interval = central_95(draws);
  return gap;
}

double student_t_975(int degrees) {
  if (degrees < 1) {
    fail(ErrorCode::kInvalidArgument, "[score] degrees of freedom; got {}, want 1 or more",
         degrees);
  }
  // P(|T| <= t) has a finite trigonometric series in theta = atan(t / sqrt(degrees)) for whole
  // degrees (Abramowitz and Stegun, 26.7.3 and 26.7.4); it grows with theta, so bisection inverts
  // it.
  const auto central_mass = [degrees](double theta) {
    const double s = std::sin(theta), c = std::cos(theta);
    if (degrees == 1) return 2 * theta / kPi;
    const bool odd = degrees % 2 == 1;
    double term = odd ? c : 1.0, sum = term;
    for (int k = odd ? 3 : 2; k < degrees; k += 2) {
      term *= c * c * (k - 1) / k;
      sum += term;
    }
    return odd ? 2 / kPi * (theta + s * sum) : s * sum;
  };
  double low = 0, high = kPi / 2;
  for (int i = 0; i < 200; ++i) {
    const double middle = 0.5 * (low + high);
    (central_mass(middle) < 0.95 ? low : high) = middle;
  }
  return std::sqrt(static_cast<double>(degrees)) * std::tan(0.5 * (low + high));
}

Score mean_interval(std::span<const double> values) {
  const size_t n = values.size();
  if (n < 2) {
    fail(ErrorCode::kInvalidArgument,
         "[score] an interval over runs; got {} values, want 2 or more", n);
  }
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  const double mean = sum / static_cast<double>(n);
  for (const double value : values) squares += (value - mean) * (value - mean);
  const double error = std::sqrt(squares / static_cast<double>(n - 1) / static_cast<double>(n));
  const double half = student_t_975(static_cast<int>(n - 1)) * error;
  return {mean, {mean - half, mean + half}, static_cast<int64_t>(n)};
}

}  // namespace alambic
