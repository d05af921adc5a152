#include "alambic/tensor/packed_rows.h"

#include <algorithm>

#include "alambic/base/error.h"
#include "alambic/tensor/k_blocks.h"

namespace alambic {

PackedRows::PackedRows(int m, const LeftOperand& a, const PackedMatrix& kind, const Loop& loop)
    : precision_(kind.precision()) {
  ALAMBIC_CHECK(kind.usable());
  if (kind.quantized() == nullptr) {
    pack(m, a, kind.k(), loop);
    return;
  }
  ALAMBIC_CHECK(a.rows.element == kernels::Element::kF32 && a.rows.col_stride == 1);
  quantized_.emplace(*kind.format(), m, kind.k(), a);
}

int PackedRows::row_unit(const PackedMatrix& kind) {
  return kind.quantized() != nullptr
             ? 1
             : kernels::kernels().gemm[static_cast<int>(kind.precision())].mr;
}

void PackedRows::pack(int m, const LeftOperand& a, int k, const Loop& loop) {
  const kernels::Gemm& gemm = kernels::kernels().gemm[static_cast<int>(precision_)];
  full_block_ =
      gemm.panel_bytes_a(std::min(k, kBlockK)) * static_cast<size_t>(ceil_div(m, gemm.mr));
  const int blocks = k_blocks(k);
  panels_ = Tensor::empty({static_cast<int64_t>(full_block_) * blocks}, DType::kU8);
  std::byte* panels = panels_.raw();
  const auto pack_block = [&, panels](const Matrix& rows, int row, int count, int index) {
    const int kb = block_extent(k, index);
    gemm.pack_a(shifted(rows, 0, int64_t{index} * kBlockK), count, kb,
                panels + full_block_ * static_cast<size_t>(index) +
                    gemm.panel_bytes_a(kb) * static_cast<size_t>(row / gemm.mr));
  };
  if (a.norm == nullptr) {
    const int64_t tasks = int64_t{ceil_div(m, loop.row_step)} * blocks;
    for_tasks(loop.serially || tasks == 1, tasks, [&](int64_t task) {
      const int row = static_cast<int>(task / blocks) * loop.row_step;
      pack_block(shifted(a.rows, row, 0), row, std::min(loop.row_step, m - row),
                 static_cast<int>(task % blocks));
    });
    return;
  }
  // As many rows as stay in the first cache level between norm and panel.
  const int step = gemm.mr * std::max(1, 16 / gemm.mr), tasks = ceil_div(m, step);
  for_tasks(loop.serially || tasks == 1, tasks, [&](int64_t task) {
    const int row = static_cast<int>(task) * step, count = std::min(step, m - row);
    const float* normed = a.normed(row, count, k);
    for (int index = 0; index < blocks; ++index)
      pack_block({normed, kernels::Element::kF32, k, 1}, row, count, index);
  });
}

void PackedRows::multiply(const PackedMatrix& b, const Tile& tile, float* c, int64_t ldc,
                          bool accumulate) const {
  if (quantized_) {
    ALAMBIC_CHECK(!accumulate && b.format() == quantized_->format());
    quantized_->multiply(*b.quantized(), tile.row, tile.rows, tile.col, tile.cols, c, ldc);
    return;
  }
  const kernels::Gemm& gemm = kernels::kernels().gemm[static_cast<int>(precision_)];
  for (int index = 0; index < k_blocks(b.k()); ++index) {
    const int kb = block_extent(b.k(), index);
    gemm.multiply(panels_.raw() + full_block_ * static_cast<size_t>(index) +
                      gemm.panel_bytes_a(kb) * static_cast<size_t>(tile.row / gemm.mr),
                  b.block(index) + b.panel_bytes(index) * static_cast<size_t>(tile.col / gemm.nr),
                  tile.rows, tile.cols, kb, c, ldc, accumulate || index > 0);
  }
}

}  // namespace alambic
