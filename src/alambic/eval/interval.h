// Uncertainty: bootstrap intervals of corpus metrics, paired comparisons, the gap that a student
// closes, and Student-t intervals over seeds.
//
// A metric hands over its Evidence, the few sums that each example adds to it; the metric itself is
// a function of the column totals. So one resampling loop serves means and ratios alike (BLEU,
// micro F1, perplexity), and resampling examples never scores a text twice. All functions are pure
// and safe to call from any thread; the same seed gives the same interval. Errors: kInvalidArgument
// for no examples or evidence that does not pair.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace alambic {

struct Interval {
  double low = 0, high = 0;
};

struct Score {
  double value = 0;
  Interval interval;  // 95 %; equal to the value where there is only one example
  int64_t n = 0;      // examples
};

struct Evidence {
  int width = 0;             // sums per example
  std::vector<double> rows;  // [examples, width]
  double (*value)(std::span<const double> totals) = nullptr;

  int64_t examples() const { return width > 0 ? static_cast<int64_t>(rows.size()) / width : 0; }
};

struct BootstrapOptions {
  int resamples = 1000;
  uint64_t seed = 20240229;
};

// Evidence for a plain mean over examples (accuracy, exact match, agreement).
Evidence mean_evidence(std::span<const double> values);

// The metric over all examples, without an interval.
double value_of(const Evidence& evidence);
// The metric with its 95 % percentile bootstrap interval over examples.
Score score_of(const Evidence& evidence, const BootstrapOptions& options = {});

struct PairedComparison {
  double difference = 0;   // a - b over all examples
  Interval interval;       // 95 % of the difference; both systems see the same resamples
  double probability = 0;  // share of resamples in which a > b (a tie counts one half)
};
// `a` and `b` come from the same examples in the same order. For a metric where lower is better,
// swap them.
PairedComparison paired_bootstrap(const Evidence& a, const Evidence& b,
                                  const BootstrapOptions& options = {});

// (student - control) / (teacher - control): 0 is "no better than without the teacher", 1 is "as
// good as the teacher". It means nothing where the teacher does not beat the control, so then there
// is no value and `reason` says why. The formula is the same where lower is better; only the
// meaning of "beats" turns round.
struct GapClosed {
  std::optional<double> value;
  std::optional<Interval> interval;
  std::string reason;
};
GapClosed gap_closed(const Evidence& teacher, const Evidence& student, const Evidence& control,
                     bool lower_is_better = false, const BootstrapOptions& options = {});
// The share of that gap between two other systems: (to - from) / (teacher - control).
GapClosed gap_share(const Evidence& teacher, const Evidence& control, const Evidence& from,
                    const Evidence& to, bool lower_is_better = false,
                    const BootstrapOptions& options = {});

// Mean and 95 % Student-t interval of independent runs (one value a seed); needs 2 values, wants 3
// or more.
Score mean_interval(std::span<const double> values);
// The 0.975 quantile of Student's t with `degrees` >= 1 degrees of freedom.
double student_t_975(int degrees);

}  // namespace alambic
