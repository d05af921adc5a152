// What the head says of some hidden rows, as a decoder wants it: for greedy text over all tokens
// the summary of each row, made without an array [rows, vocab]; else their logits. The choices are
// the same to the bit.
//
// Ownership: owns what it read last. Thread safety: one object, one thread. Errors: as the sampler.
#pragma once

#include <span>
#include <vector>

#include "alambic/decode/sampler.h"
#include "alambic/models/language_model.h"

namespace alambic {

class HeadRows {
 public:
  // hidden_rows: [rows, dim], for choices of this sampler and those with the same options
  void read(const LanguageModel& model, const Tensor& hidden_rows, const Sampler& sampler);
  // The logits of every row, whoever chooses from them.
  void read_logits(const LanguageModel& model, const Tensor& hidden_rows, Precision precision);
  int64_t rows() const { return rows_; }
  // Empty where only summaries were read.
  std::span<const float> logits(int64_t row) const;
  // As Sampler::choose() of that row's logits.
  Choice choose(Sampler& sampler, int64_t row, int64_t position,
                std::span<const TokenId> allowed = {}, uint64_t round = 0) const;

 private:
  int64_t rows_ = 0;
  std::vector<RowSummary> summaries_;
  Tensor logits_;  // [rows, vocab]; undefined where there are summaries
};

// Rows of a tensor as the sampler takes them.
std::span<const float> row_of(const Tensor& t, int64_t row);
// `rows` rows from `first` on, as a tensor of their own.
Tensor rows_from(const Tensor& t, int64_t first, int64_t rows);

}  // namespace alambic
