#include "alambic/train/sampler.h"

#include <numeric>

#include "alambic/base/error.h"
#include "alambic/base/rng.h"

namespace alambic {

BatchSampler::BatchSampler(std::span<const Sequence> sequences, int64_t tokens_per_batch,
                           uint64_t seed)
    : sequences_(sequences), tokens_per_batch_(tokens_per_batch), seed_(seed) {
  if (sequences.empty()) fail(ErrorCode::kInvalidArgument, "[train] there is no training example");
  for (const Sequence& s : sequences) tokens_ += static_cast<int64_t>(s.tokens.size());
  permute();
}

void BatchSampler::permute() {
  order_.resize(sequences_.size());
  std::iota(order_.begin(), order_.end(), 0U);
  Rng rng(seed_, static_cast<uint64_t>(epoch_) + 1);
  rng.shuffle(order_);
}

Batch BatchSampler::next() {
  Batch batch;
  int64_t tokens = 0;
  for (;;) {
    if (position_ == static_cast<int64_t>(order_.size())) {
      ++epoch_;
      position_ = 0;
      permute();
    }
    const Sequence& s = sequences_[order_[static_cast<size_t>(position_)]];
    const auto size = static_cast<int64_t>(s.tokens.size());
    if (!batch.empty() && tokens + size > tokens_per_batch_) return batch;
    batch.push_back(&s);
    tokens += size;
    ++position_;
  }
}

void BatchSampler::restore(int64_t epoch, int64_t position) {
  if (position < 0 || position > static_cast<int64_t>(order_.size()) || epoch < 0) {
    fail(ErrorCode::kCorruptData, "[checkpoint] the data position does not fit these examples");
  }
  epoch_ = epoch;
  position_ = position;
  permute();
}

}  // namespace alambic
