#include "alambic/decode/acceptance.h"

#include <algorithm>
#include <cmath>

namespace alambic {
namespace {

constexpr double kMemory = 0.95;      // of a count, per new observation
constexpr double kPriorWeight = 1.5;  // observations that the expectation before any is worth
constexpr double kHopeful = 0.85;     // of the first draft, before anything was seen
constexpr double kFading = 0.97;      // of each further one, relative to the one before

}  // namespace

int sureness_of(double log_probability) {
  // Bounds in probability: each bucket about halves the doubt of the one before.
  constexpr std::array<double, kSureness - 1> kBounds = {0.3, 0.5, 0.7, 0.85, 0.93, 0.97, 0.99};
  const double p = std::exp(log_probability);
  return static_cast<int>(std::upper_bound(kBounds.begin(), kBounds.end(), p) - kBounds.begin());
}

void Acceptance::add(Count& count, double weight, double stood) {
  const double memory = std::pow(kMemory, weight);
  count.judged = memory * count.judged + weight;
  count.accepted = memory * count.accepted + stood;
}

void Acceptance::observe(std::span<const Draft> drafts, int tried, int accepted) {
  if (by_distance_.size() < drafts.size()) by_distance_.resize(drafts.size());
  double reached = 1;  // that all before stood
  for (size_t i = 0; i < drafts.size() && reached > 0; ++i) {
    const auto sureness = static_cast<size_t>(drafts[i].sureness);
    const bool verified = i < static_cast<size_t>(tried);
    const double stood = !verified                           ? at_sureness(drafts[i].sureness)
                         : i < static_cast<size_t>(accepted) ? 1
                                                             : 0;
    if (verified) add(by_sureness_[sureness], 1, stood);
    add(by_distance_[i], reached, reached * stood);
    reached *= stood;
  }
}

double Acceptance::at_distance(size_t distance) const {
  // What is expected of a distance is a little less than was seen one nearer.
  double expected = kHopeful;
  for (size_t i = 0; i <= distance && i < by_distance_.size(); ++i) {
    const Count& count = by_distance_[i];
    expected = (count.accepted + kPriorWeight * expected) / (count.judged + kPriorWeight);
    if (i < distance) expected *= kFading;
  }
  const size_t unseen = distance - std::min(distance, by_distance_.size());
  return expected * std::pow(kFading, static_cast<double>(unseen));
}

double Acceptance::at_sureness(int sureness) const {
  const Count& count = by_sureness_[static_cast<size_t>(sureness)];
  const double prior = (sureness + 0.5) / kSureness;
  return (count.accepted + kPriorWeight * prior) / (count.judged + kPriorWeight);
}

}  // namespace alambic
