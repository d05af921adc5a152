// Which masks become tokens after a forward: the samplers of masked diffusion.
//   threshold  all that are at least so probable (Fast-dLLM, arXiv 2505.22618)
//   entropy    the surest first, while what they say together stays bounded: with entropies in
//              ascending order, while sum - largest <= bound (arXiv 2505.24857)
//   count      so many of the most probable (MaskGIT, arXiv 2202.04200; LLaDA, arXiv 2502.09992)
// Each reveals at least one. Thread safety: pure functions.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "alambic/base/token.h"

namespace alambic {

enum class RevealRule { kThreshold, kEntropy, kCount };

// "threshold", "entropy", "count"; kInvalidArgument for any other name.
RevealRule reveal_rule_from_name(std::string_view name);
std::string_view name_of(RevealRule rule);

struct RevealOptions {
  RevealRule rule = RevealRule::kThreshold;
  double threshold = 0.9;      // of probability; above 1: one token at a time
  double entropy_bound = 0.1;  // in nats
  int count = 1;
};

// What a forward says of one mask.
struct Guess {
  size_t place;  // as the caller counts
  TokenId token;
  double log_probability;
  double entropy = 0;  // in nats; only the rule of that name asks for it
};

// Orders the guesses so that those to be revealed come first, and returns how many they are: at
// least one, unless there are none.
size_t reveal(std::span<Guess> guesses, const RevealOptions& options);

}  // namespace alambic
