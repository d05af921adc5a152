// How products cut k: into blocks whose B panel and a few A panels stay in the first two cache
// levels. Sums go on from the stored C, which loses nothing in fp32. Both operands are packed block
// by block. Thread safety: pure functions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "alambic/kernels/table.h"

namespace alambic {

inline constexpr int kBlockK = 512;

inline int ceil_div(int a, int b) { return (a + b - 1) / b; }
inline int k_blocks(int k) { return std::max(1, ceil_div(k, kBlockK)); }
inline int block_extent(int k, int index) { return std::min(kBlockK, k - index * kBlockK); }

// The view that starts at (row, col).
inline kernels::Matrix shifted(const kernels::Matrix& m, int64_t row, int64_t col) {
  const int64_t element = m.element == kernels::Element::kF32 ? 4 : 2;
  const auto* base = static_cast<const std::byte*>(m.data);
  return {base + (row * m.row_stride + col * m.col_stride) * element, m.element, m.row_stride,
          m.col_stride};
}

}  // namespace alambic
