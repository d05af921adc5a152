// The order in which training meets its documents, and how they are cut into steps.
//
// Documents come as one stream: epoch after epoch, each a new seeded permutation. A step takes
// whole documents from it until the next one would exceed its tokens; it may begin in one epoch and
// end in the next. The position is two integers, so a checkpoint can hold it.
//
// Ownership: samplers and batches look at sequences that must outlive them. Thread safety: one
// object, one thread. Errors: kInvalidArgument where there is nothing to read.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "alambic/train/objective.h"

namespace alambic {

int64_t token_count(std::span<const Sequence> sequences);
int64_t token_count(const Batch& batch);

// How long a run reads: all steps but the last hold what fits in the tokens of a step.
struct Budget {
  int64_t steps = 0;
  int64_t last_step_tokens = 0;  // what fits in the last; 0: as in the others
};

class StepSampler {
 public:
  StepSampler(std::span<const Sequence> sequences, uint64_t seed);

  // The documents of the next step: as many as fit in `tokens`, at least one.
  Batch next(int64_t tokens);
  int64_t epoch() const { return epoch_; }
  int64_t position() const { return position_; }  // documents of this epoch so far
  double epochs() const;                          // read so far, as a fraction of all documents
  void restore(int64_t epoch, int64_t position);

 private:
  void permute();

  std::span<const Sequence> sequences_;
  uint64_t seed_;
  int64_t epoch_ = 0, position_ = 0;
  std::vector<uint32_t> order_;
};

// The budget in which a sampler of this seed reads every document exactly `epochs` times. Of a
// fraction, the last permutation's first documents are read once more: 2.5 epochs of 3 documents
// are 8 (7.5 rounded), at least 1.
Budget budget_of_epochs(std::span<const Sequence> sequences, double epochs, int64_t tokens_per_step,
                        uint64_t seed);

// A step in pieces of at most `tokens`; a longer document is a piece of its own. Order is kept.
std::vector<Batch> micro_batches(const Batch& step, int64_t tokens);

}  // namespace alambic
