#include "alambic/tensor/row_summary.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "alambic/base/error.h"
#include "alambic/base/thread_pool.h"
#include "alambic/tensor/k_blocks.h"
#include "alambic/tensor/packed_rows.h"

namespace alambic {
namespace {

static_assert(kSummaryColumns % kTileUnit == 0);

// Rows of one task: a block of their results stays in the second cache level. A batch of 64 is one
// task whatever the rows of a panel.
constexpr int kMostRows = 72;
// The stride of those results; rows a power of two apart would meet in the same few cache lines.
constexpr int kStride = kSummaryColumns + 16;

struct BlockSummary {
  int32_t best;  // in the block
  float top, sum;
};

BlockSummary block_summary(const float* x, int64_t n) {
  const auto& kernel = kernels::kernels();
  const auto best = static_cast<int32_t>(kernel.argmax(x, n));
  // A block without a number that counts sums to 0, unless it holds a NaN.
  const float top = x[best], shift = top > -std::numeric_limits<float>::infinity() ? top : 0.0F;
  float exponentials[kSummaryColumns];
  return {best, top, kernel.exp_sum(x, shift, 1.0F, n, exponentials)};
}

void join(RowSummary& row, const BlockSummary& block, int64_t first) {
  if (block.top > row.top) {
    row.sum = row.sum * std::exp(double{row.top} - block.top) + block.sum;
    row.top = block.top;
    row.best = first + block.best;
  } else {
    const double share = block.top == row.top ? 1 : std::exp(double{block.top} - row.top);
    row.sum += share * block.sum;
  }
}

// Where blocks are few, tasks of fewer rows give every thread work.
int rows_per_task(int m, int blocks, int unit) {
  constexpr int kTasksPerThread = 4;
  int rows = kMostRows / unit * unit;
  while (rows > unit && ceil_div(m, rows) * blocks < kTasksPerThread * thread_count())
    rows = std::max(unit, rows / 2 / unit * unit);
  return rows;
}

}  // namespace

bool RowSummary::finite() const { return std::isfinite(top) && std::isfinite(sum); }

double RowSummary::log_sum() const { return top + std::log(sum); }

RowSummary summarise(const float* row, const CountedColumns& columns) {
  RowSummary summary;
  for (int64_t first = 0; first < columns.count; first += kSummaryColumns) {
    const int64_t n = std::min<int64_t>(kSummaryColumns, columns.count - first);
    const float* x = row + first;
    float without[kSummaryColumns];
    if (columns.excluded >= first && columns.excluded < first + n) {
      std::copy_n(x, n, without);
      without[columns.excluded - first] = -std::numeric_limits<float>::infinity();
      x = without;
    }
    join(summary, block_summary(x, n), first);
  }
  return summary;
}

void summarise_product(int m, const LeftOperand& rows, const PackedMatrix& b, const float* bias,
                       const CountedColumns& columns, RowSummary* out) {
  ALAMBIC_CHECK(columns.count >= 0 && columns.count <= b.n());
  const auto count = static_cast<int>(columns.count);
  const int blocks = ceil_div(count, kSummaryColumns);
  std::fill_n(out, m, RowSummary());
  if (m == 0 || count == 0) return;
  const bool serially = is_serial(m, count, b.k());
  const int unit = PackedRows::row_unit(b), step = rows_per_task(m, blocks, unit);
  const PackedRows packed(m, rows, b, {step, serially || m <= unit});
  thread_local std::vector<BlockSummary> of_caller;  // kept: a decoding step allocates nothing
  of_caller.resize(static_cast<size_t>(m) * static_cast<size_t>(blocks));
  BlockSummary* const summaries = of_caller.data();  // [m, blocks]
  const auto task = [&](int64_t index) {
    const int block = static_cast<int>(index % blocks), col = block * kSummaryColumns;
    const int row = static_cast<int>(index / blocks) * step;
    const Tile tile{row, std::min(step, m - row), col, std::min(kSummaryColumns, count - col)};
    alignas(64) float logits[kMostRows * kStride];
    packed.multiply(b, tile, logits, kStride);
    for (int r = 0; r < tile.rows; ++r) {
      float* x = logits + int64_t{r} * kStride;
      if (bias != nullptr) kernels::kernels().axpy(1.0F, bias + col, tile.cols, x);
      if (columns.excluded >= col && columns.excluded < col + tile.cols)
        x[columns.excluded - col] = -std::numeric_limits<float>::infinity();
      summaries[int64_t{row + r} * blocks + block] = block_summary(x, tile.cols);
    }
  };
  for_tasks(serially, int64_t{ceil_div(m, step)} * blocks, task);
  for (int r = 0; r < m; ++r) {
    for (int block = 0; block < blocks; ++block) {
      join(out[r], summaries[int64_t{r} * blocks + block], int64_t{block} * kSummaryColumns);
    }
  }
}

}  // namespace alambic
