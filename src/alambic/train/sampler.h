// The order in which training meets its documents: a new seeded permutation every epoch, cut into
// batches of about `tokens_per_batch` tokens. The position is two integers, so a checkpoint can
// hold it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "alambic/train/objective.h"

namespace alambic {

class BatchSampler {
 public:
  BatchSampler(std::span<const Sequence> sequences, int64_t tokens_per_batch, uint64_t seed);

  // At least one document; never more than tokens_per_batch unless a single document is longer.
  Batch next();
  int64_t tokens_per_epoch() const { return tokens_; }
  int64_t epoch() const { return epoch_; }
  int64_t position() const { return position_; }
  void restore(int64_t epoch, int64_t position);

 private:
  void permute();

  std::span<const Sequence> sequences_;
  int64_t tokens_per_batch_, tokens_ = 0;
  uint64_t seed_;
  int64_t epoch_ = 0, position_ = 0;
  std::vector<uint32_t> order_;
};

}  // namespace alambic
