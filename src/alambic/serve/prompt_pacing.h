// How much of the prompts that wait is read in one step of the engine. A piece costs about as much
// as a few steps of the texts that are being written, so that these keep their pace, or, where none
// is, little enough that a short prompt which comes next need not wait long. What a row costs is
// learned from the pieces that were read. Sizes depend on the clock; what is written does not
// depend on sizes.
//
// Thread safety: one object, one thread. Nothing here throws.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace alambic {

class PromptPacing {
 public:
  // Tokens for the next step beside texts whose own part of it takes so long; 0: there are none, or
  // nobody knows yet.
  int rows(double step_seconds) const;
  // What so many tokens took.
  void observe(int64_t rows, double seconds);

 private:
  double row_seconds_ = 0;  // 0: nothing was read yet
};

// Shares `rows` among prompts with so many tokens left, the one that came first in front: that one
// has at least half and so ends in its own time, the others go shortest first, and a short prompt
// does not wait for long ones. The shares add up to `rows`, or to all that is left.
std::vector<int> share_rows(std::span<const int> left, int rows);

}  // namespace alambic
