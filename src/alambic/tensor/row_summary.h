// What greedy text wants of a row of logits: its greatest number, where it stands, and the sum of
// exponentials that makes it a probability. A row is summed up in blocks of kSummaryColumns, which
// join in ascending order; so the head's product can sum up each block while it is in cache, no
// [rows, vocab] array exists, and the bits are those of a row that does (the one-pass softmax of
// Milakov & Gimelshein 2018, block by block).
//
// Ownership: views only. Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <limits>

#include "alambic/tensor/product.h"
#include "alambic/tensor/tensor.h"

namespace alambic {

inline constexpr int kSummaryColumns = 1024;

struct RowSummary {
  int64_t best = 0;                                     // the lowest column among equals
  float top = -std::numeric_limits<float>::infinity();  // the number there
  double sum = 0;                                       // of exp(x - top); NaN if one x is

  bool finite() const;
  double log_sum() const;  // of exp(x)
};

// The columns that count: the first `count`, but `excluded` (-1: none).
struct CountedColumns {
  int64_t count;
  int64_t excluded = -1;
};

RowSummary summarise(const float* row, const CountedColumns& columns);

// The summaries of rows [m, k] times b (+ bias [n], if not null), of the columns that count, of
// which b has at least so many.
void summarise_product(int m, const LeftOperand& rows, const PackedMatrix& b, const float* bias,
                       const CountedColumns& columns, RowSummary* out);

}  // namespace alambic
