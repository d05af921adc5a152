#include "alambic/decode/draft_plan.h"

#include <algorithm>
#include <numeric>

namespace alambic {
namespace {

// What a plan must bring beside plain steps: the best of many estimates is a flattered one.
constexpr double kLeastGain = 1.04;

// Probabilities that exactly j = 0 … k of the drafts stand, from those of each.
std::vector<double> outcome_probabilities(std::span<const double> stands) {
  std::vector<double> result;
  result.reserve(stands.size() + 1);
  double all = 1;
  for (const double p : stands) {
    result.push_back(all * (1 - p));
    all *= p;
  }
  result.push_back(all);
  return result;
}

double expected_accepted(std::span<const double> stands) {
  double sum = 0, all = 1;
  for (const double p : stands) sum += all *= p;
  return sum;
}

}  // namespace

DraftPlan best_plan(const RowCost& cost, const Acceptance& acceptance, const PlanBounds& bounds) {
  const auto share = [&](int64_t rows) { return cost.seconds(rows * bounds.sessions); };
  const double plain = share(1);
  DraftPlan best;
  best.tokens_per_second = plain > 0 ? 1 / plain : 0;
  double bar = kLeastGain * best.tokens_per_second;
  std::vector<double> stands;
  for (int k = 1; k <= bounds.drafts; ++k) {
    stands.push_back(acceptance.at_distance(static_cast<size_t>(k) - 1));
    const double settled = 1 + expected_accepted(stands);
    if (!bounds.masks) {
      const double rate = settled / share(DraftPlan::rows(k, 0, 0));
      if (rate > bar) {
        best = {k, 0, rate};
        bar = rate;
      }
      continue;
    }
    std::vector<double> outcomes = outcome_probabilities(stands);
    std::sort(outcomes.rbegin(), outcomes.rend());
    const double idle = share(DraftPlan::rows(0, 1, k));
    double prepared = 0;  // that the outcome has a group
    for (int m = 0; m <= k + 1; ++m) {
      if (m > 0) prepared += outcomes[static_cast<size_t>(m) - 1];
      if (bounds.outcomes >= 0 && m != std::min(bounds.outcomes, k + 1)) continue;
      const double missed = std::max(0.0, 1 - prepared);
      const double busy = share(DraftPlan::rows(k, m, k));
      const double rate = (settled + missed) / (busy + missed * idle);
      if (rate > bar) {
        best = {k, m, rate};
        bar = rate;
      }
    }
  }
  return best;
}

int worth_verifying(std::span<const Draft> drafts, const DraftPlan& plan, const RowCost& cost,
                    const Acceptance& acceptance, const PlanBounds& bounds) {
  const int most = std::min(plan.drafts, static_cast<int>(drafts.size()));
  if (most == 0) return 0;
  const int64_t sessions = bounds.sessions;
  const double per_row =
      (cost.seconds(DraftPlan::rows(most, 0, 0) * sessions) - cost.seconds(sessions)) / most;
  double all = 1;
  for (int i = 0; i < most; ++i) {
    all *= acceptance.at_sureness(drafts[static_cast<size_t>(i)].sureness);
    if (all < per_row * plan.tokens_per_second) return i;
  }
  return most;
}

std::vector<int> likely_outcomes(std::span<const Draft> drafts, const Acceptance& acceptance,
                                 int count) {
  std::vector<double> stands;
  stands.reserve(drafts.size());
  for (const Draft& draft : drafts) stands.push_back(acceptance.at_sureness(draft.sureness));
  const std::vector<double> probability = outcome_probabilities(stands);
  std::vector<int> outcomes(probability.size());
  std::iota(outcomes.begin(), outcomes.end(), 0);
  std::sort(outcomes.begin(), outcomes.end(), [&](int a, int b) {
    const double p = probability[static_cast<size_t>(a)], q = probability[static_cast<size_t>(b)];
    return p != q ? p > q : a < b;
  });
  outcomes.resize(std::min(outcomes.size(), static_cast<size_t>(std::max(count, 0))));
  std::sort(outcomes.begin(), outcomes.end());
  return outcomes;
}

}  // namespace alambic
