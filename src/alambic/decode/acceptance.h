// How often drafts stood, lately: by their distance from the last settled token, for planning
// drafts that do not exist yet, and by how sure the drafter was, for those that do. Both forget, so
// that they follow the text. Thread safety: one object, one thread.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "alambic/base/token.h"

namespace alambic {

struct Draft {
  TokenId token;
  int sureness;  // 0 to kSureness - 1, in the drafter's own measure
};

inline constexpr int kSureness = 8;
// Of a drafter that gives probabilities.
int sureness_of(double log_probability);

class Acceptance {
 public:
  // Of these drafts the first `tried` were verified, and the first `accepted` of them stood. Those
  // that were not worth verifying count as often as drafts of their sureness stand: distances would
  // else be judged by the sure ones alone.
  void observe(std::span<const Draft> drafts, int tried, int accepted);
  // That a draft at this distance (from 0) stands, where all before it do.
  double at_distance(size_t distance) const;
  double at_sureness(int sureness) const;

 private:
  struct Count {
    double judged = 0, accepted = 0;
  };
  static void add(Count& count, double weight, double stood);

  std::vector<Count> by_distance_;
  std::array<Count, kSureness> by_sureness_ = {};
};

}  // namespace alambic
