// A frozen weight [out, in] in 8 or 4 bits, in the panels that the kernels read (kernels/
// quantized.h). Products quantise their rows to 8 bits on the way in; what comes out does not
// depend on the instruction set, the thread count or the number of rows.
//
// Ownership: holds handles of the tensors it was made from; those may be views of a mapped file.
// Thread safety: immutable after construction.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "alambic/kernels/quantized.h"
#include "alambic/kernels/table.h"
#include "alambic/tensor/left_operand.h"
#include "alambic/tensor/tensor.h"

namespace alambic {

using kernels::WeightFormat;

std::string_view format_name(WeightFormat format);  // "int8", "int4"
std::optional<WeightFormat> format_from_name(std::string_view name);

// Values and per-group numbers of one row of weights while it is being rounded.
struct GroupRounding {
  float scale;    // exactly a bf16
  int zero;       // 0 for int8
  int low, high;  // the range of q
  int nearest(float w) const;
  float value(int q) const { return scale * static_cast<float>(q - zero); }
};
// The grid for one group of weights: of a few ranges, from the whole one down, that whose rounding
// errors, squared and weighted by `importance` (empty: all alike), sum to the least.
GroupRounding group_rounding(WeightFormat format, std::span<const float> group,
                             std::span<const float> importance = {});

class QuantizedMatrix {
 public:
  // Views of stored panels; shapes as the functions below want them.
  QuantizedMatrix(WeightFormat format, int64_t out, int64_t in, Tensor values, Tensor scales,
                  Tensor zeros);
  // Every weight to the nearest point of its group's grid. w: [out, in]
  static QuantizedMatrix rounded(WeightFormat format, const Tensor& w);

  // [panels, groups * bytes] U8; [panels, groups, 16] BF16; the same in U8, int4 only.
  static Shape values_shape(WeightFormat format, int64_t out, int64_t in);
  static Shape group_shape(WeightFormat format, int64_t out, int64_t in);

  WeightFormat format() const { return format_; }
  int64_t out() const { return out_; }
  int64_t in() const { return in_; }
  int64_t groups() const;
  const Tensor& values() const { return values_; }
  const Tensor& scales() const { return scales_; }
  const Tensor& zeros() const { return zeros_; }  // undefined for int8
  int64_t bytes() const;

  Tensor dequantized() const;  // [out, in] fp32
  kernels::WeightPanels from_panel(int64_t panel) const;

 private:
  WeightFormat format_;
  int64_t out_, in_;
  Tensor values_, scales_, zeros_;
};

// The rows [m, k] of a left operand in 8 bits, for products with weights of one format.
class QuantizedRows {
 public:
  QuantizedRows(WeightFormat format, int m, int k, const LeftOperand& rows);
  WeightFormat format() const { return format_; }
  int rows() const { return m_; }
  kernels::Int8Rows from_row(int64_t first) const;
  // c[rows, cols] = the tile of the product that begins at (row, col); col: a panel's first.
  void multiply(const QuantizedMatrix& w, int64_t row, int rows, int64_t col, int cols, float* c,
                int64_t ldc) const;

 private:
  WeightFormat format_;
  int m_, groups_;
  Tensor values_, scales_, sums_;
};

// c[m, sum of out] = rows times each weight's transpose, side by side; row stride ldc. One parallel
// loop over all weights, which have the rows' format.
void product(const QuantizedRows& rows, std::span<const QuantizedMatrix* const> weights, float* c,
             int64_t ldc);

// Fills the panels of a QuantizedMatrix row by row; rows may be set from many threads.
class QuantizedMatrixBuilder {
 public:
  QuantizedMatrixBuilder(WeightFormat format, int64_t out, int64_t in);
  void set_group(int64_t row, int64_t group, const GroupRounding& rounding);
  void set(int64_t row, int64_t column, int q);
  QuantizedMatrix finish() const;

 private:
  WeightFormat format_;
  int64_t out_, in_, groups_;
  Tensor values_, scales_, zeros_;
};

}  // namespace alambic
