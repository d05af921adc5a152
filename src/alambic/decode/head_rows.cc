#include "alambic/decode/head_rows.h"

#include <numeric>

#include "alambic/autograd/ops.h"

namespace alambic {

void HeadRows::read(const LanguageModel& model, const Tensor& hidden_rows, const Sampler& sampler) {
  rows_ = hidden_rows.rows();
  logits_ = Tensor();  // before others take its place
  const Precision precision = sampler.options().precision;
  if (!sampler.wants_summaries()) return read_logits(model, hidden_rows, precision);
  summaries_.resize(static_cast<size_t>(rows_));
  model.summaries(hidden_rows, precision, sampler.columns(), summaries_);
}

void HeadRows::read_logits(const LanguageModel& model, const Tensor& hidden_rows,
                           Precision precision) {
  rows_ = hidden_rows.rows();
  logits_ = model.logits(hidden_rows, precision);
}

std::span<const float> HeadRows::logits(int64_t row) const {
  return logits_.defined() ? row_of(logits_, row) : std::span<const float>();
}

Choice HeadRows::choose(Sampler& sampler, int64_t row, int64_t position,
                        std::span<const TokenId> allowed, uint64_t round) const {
  if (!logits_.defined()) return Sampler::choose(summaries_[static_cast<size_t>(row)]);
  return sampler.choose(row_of(logits_, row), position, allowed, round);
}

std::span<const float> row_of(const Tensor& t, int64_t row) {
  return {t.row(row), static_cast<size_t>(t.cols())};
}

Tensor rows_from(const Tensor& t, int64_t first, int64_t rows) {
  std::vector<int64_t> index(static_cast<size_t>(rows));
  std::iota(index.begin(), index.end(), first);
  return gather_rows(t, index);
}

}  // namespace alambic
