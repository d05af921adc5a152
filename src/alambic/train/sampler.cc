#include "alambic/train/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "alambic/base/error.h"
#include "alambic/base/rng.h"

namespace alambic {
namespace {

int64_t size_of(const Sequence& s) { return static_cast<int64_t>(s.tokens.size()); }

}  // namespace

int64_t token_count(std::span<const Sequence> sequences) {
  int64_t tokens = 0;
  for (const Sequence& s : sequences) tokens += size_of(s);
  return tokens;
}

int64_t token_count(const Batch& batch) {
  int64_t tokens = 0;
  for (const Sequence* s : batch) tokens += size_of(*s);
  return tokens;
}

StepSampler::StepSampler(std::span<const Sequence> sequences, uint64_t seed)
    : sequences_(sequences), seed_(seed) {
  if (sequences.empty()) fail(ErrorCode::kInvalidArgument, "[train] there is no training example");
  permute();
}

void StepSampler::permute() {
  order_.resize(sequences_.size());
  std::iota(order_.begin(), order_.end(), 0U);
  Rng rng(seed_, static_cast<uint64_t>(epoch_) + 1);
  rng.shuffle(order_);
}

Batch StepSampler::next(int64_t tokens) {
  Batch batch;
  int64_t taken = 0;
  for (;;) {
    if (position_ == static_cast<int64_t>(order_.size())) {
      ++epoch_;
      position_ = 0;
      permute();
    }
    const Sequence& s = sequences_[order_[static_cast<size_t>(position_)]];
    if (!batch.empty() && taken + size_of(s) > tokens) break;
    batch.push_back(&s);
    taken += size_of(s);
    ++position_;
    // An epoch that a step ends with stays the present one: its permutation may be the last.
    if (taken >= tokens) break;
  }
  return batch;
}

double StepSampler::epochs() const {
  return static_cast<double>(epoch_) +
         static_cast<double>(position_) / static_cast<double>(sequences_.size());
}

void StepSampler::restore(int64_t epoch, int64_t position) {
  if (position < 0 || position > static_cast<int64_t>(order_.size()) || epoch < 0) {
    fail(ErrorCode::kCorruptData, "[checkpoint] the data position does not fit these examples");
  }
  epoch_ = epoch;
  position_ = position;
  permute();
}

Budget budget_of_epochs(std::span<const Sequence> sequences, double epochs, int64_t tokens_per_step,
                        uint64_t seed) {
  constexpr double kMost = 1e10;  // documents; planning more would take minutes
  const double exact = epochs * static_cast<double>(sequences.size());
  if (!(exact <= kMost)) {
    fail(ErrorCode::kInvalidArgument,
         "[train] {} epochs of {} documents; want at most {:.0f} documents in all", epochs,
         sequences.size(), kMost);
  }
  StepSampler sampler(sequences, seed);
  Budget budget;
  for (int64_t left = std::max<int64_t>(1, std::llround(exact)); left > 0;) {
    Batch batch = sampler.next(tokens_per_step);
    batch.resize(std::min(batch.size(), static_cast<size_t>(left)));
    left -= static_cast<int64_t>(batch.size());
    ++budget.steps;
    budget.last_step_tokens = token_count(batch);
  }
  return budget;
}

std::vector<Batch> micro_batches(const Batch& step, int64_t tokens) {
  std::vector<Batch> pieces;
  int64_t taken = 0;
  for (const Sequence* s : step) {
    if (pieces.empty() || taken + size_of(*s) > tokens) {
      pieces.emplace_back();
      taken = 0;
    }
    pieces.back().push_back(s);
    taken += size_of(*s);
  }
  return pieces;
}

}  // namespace alambic
