#include "alambic/decode/reveal.h"

#include <algorithm>
#include <cmath>

#include "alambic/base/error.h"

namespace alambic {
namespace {

constexpr RevealRule kRules[] = {RevealRule::kThreshold, RevealRule::kEntropy, RevealRule::kCount};

}  // namespace

RevealRule reveal_rule_from_name(std::string_view name) {
  for (const RevealRule rule : kRules) {
    if (name == name_of(rule)) return rule;
  }
  fail(ErrorCode::kInvalidArgument, "[decode] reveal; got \"{}\", want threshold, entropy or count",
       name);
}

std::string_view name_of(RevealRule rule) {
  switch (rule) {
    case RevealRule::kThreshold:
      return "threshold";
    case RevealRule::kEntropy:
      return "entropy";
    case RevealRule::kCount:
      return "count";
  }
  return "";
}

size_t reveal(std::span<Guess> guesses, const RevealOptions& options) {
  if (guesses.empty()) return 0;
  const bool by_entropy = options.rule == RevealRule::kEntropy;
  std::stable_sort(guesses.begin(), guesses.end(), [&](const Guess& a, const Guess& b) {
    return by_entropy ? a.entropy < b.entropy : a.log_probability > b.log_probability;
  });
  size_t shown = 1;
  switch (options.rule) {
    case RevealRule::kThreshold:
      while (shown < guesses.size() &&
             std::exp(guesses[shown].log_probability) >= options.threshold) {
        ++shown;
      }
      break;
    case RevealRule::kEntropy: {
      // The entropy of all but the largest bounds how much they can tell about each other.
      double sum = guesses[0].entropy;
      while (shown < guesses.size() && sum <= options.entropy_bound) {
        sum += guesses[shown].entropy;
        ++shown;
      }
      break;
    }
    case RevealRule::kCount:
      shown = std::min(guesses.size(), static_cast<size_t>(std::max(1, options.count)));
      break;
  }
  return shown;
}

}  // namespace alambic
