#include "alambic/tensor/gated_product.h"

#include <algorithm>

#include "alambic/base/error.h"
#include "alambic/tensor/k_blocks.h"
#include "alambic/tensor/packed_rows.h"

namespace alambic {
namespace {

// A tile of gate and one of up stay in the second cache level.
constexpr int kGatedRows = 96, kGatedColumns = 2 * kTileUnit;
constexpr int kGatedStride = kGatedColumns + 16;  // rows must not meet in the same few cache lines

}  // namespace

bool are_alike(const PackedMatrix& a, const PackedMatrix& b) {
  return a.k() == b.k() && a.n() == b.n() && a.precision() == b.precision() &&
         a.format() == b.format();
}

void gated_product(int m, const LeftOperand& a, const PackedMatrix& gate, const PackedMatrix& up,
                   float* h) {
  ALAMBIC_CHECK(are_alike(gate, up) && up.usable());
  if (m == 0) return;
  const int n = gate.n(), unit = PackedRows::row_unit(gate);
  const bool serially = is_serial(m, 2 * n, gate.k());
  constexpr int kTasksPerThread = 4;
  const int wanted = serially ? 1 : kTasksPerThread * thread_count();
  int rows = kGatedRows / unit * unit, columns = kGatedColumns;
  if (ceil_div(m, rows) * ceil_div(n, columns) < wanted) columns = kTileUnit;
  while (rows > unit && ceil_div(m, rows) * ceil_div(n, columns) < wanted && m > unit)
    rows = std::max(unit, rows / 2 / unit * unit);
  const PackedRows packed(m, a, gate, {rows, serially || m <= unit});
  const int col_tasks = ceil_div(n, columns);
  for_tasks(serially, int64_t{ceil_div(m, rows)} * col_tasks, [&](int64_t task) {
    const int row = static_cast<int>(task / col_tasks) * rows;
    const int col = static_cast<int>(task % col_tasks) * columns;
    const Tile tile{row, std::min(rows, m - row), col, std::min(columns, n - col)};
    alignas(64) float g[kGatedRows * kGatedStride], u[kGatedRows * kGatedStride];
    packed.multiply(gate, tile, g, kGatedStride);
    packed.multiply(up, tile, u, kGatedStride);
    for (int r = 0; r < tile.rows; ++r) {
      kernels::kernels().silu_mul(g + r * kGatedStride, u + r * kGatedStride, tile.cols,
                                  h + int64_t{row + r} * n + col);
    }
  });
}

}  // namespace alambic
