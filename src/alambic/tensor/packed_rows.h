// The left operand of products that are made tile by tile: packed, or quantised, once for all
// weights of one kind. A tile's bits do not depend on how the result is cut into tiles, so a caller
// may use each one while it is in cache.
//
// Ownership: owns the packed form. Thread safety: immutable after construction; tiles may be made
// on any thread.
#pragma once

#include <optional>

#include "alambic/tensor/left_operand.h"
#include "alambic/tensor/product.h"
#include "alambic/tensor/quantized_matrix.h"
#include "alambic/tensor/tensor.h"

namespace alambic {

// Of a result [m, n]. `row` is a multiple of PackedRows::row_unit(), `col` one of kTileUnit.
struct Tile {
  int row, rows, col, cols;
};
inline constexpr int kTileUnit = 64;

class PackedRows {
 public:
  // How the packing itself is cut into tasks.
  struct Loop {
    int row_step;  // a multiple of the kernels' rows per panel
    bool serially;
  };
  // For products with `kind` and weights like it.
  PackedRows(int m, const LeftOperand& a, const PackedMatrix& kind, const Loop& loop);
  static int row_unit(const PackedMatrix& kind);

  // c[rows, cols] (row stride ldc) = or += the tile of the product with b.
  void multiply(const PackedMatrix& b, const Tile& tile, float* c, int64_t ldc,
                bool accumulate = false) const;

 private:
  void pack(int m, const LeftOperand& a, int k, const Loop& loop);

  std::optional<QuantizedRows> quantized_;
  // Else: block after block of k, each with the panels of all rows.
  Precision precision_;
  Tensor panels_;
  size_t full_block_ = 0;  // bytes of one whole k-block
};

}  // namespace alambic
