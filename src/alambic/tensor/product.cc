#include "alambic/tensor/product.h"

#include <algorithm>

#include "alambic/base/error.h"
#include "alambic/tensor/k_blocks.h"
#include "alambic/tensor/packed_rows.h"

namespace alambic {
namespace {

// B packed whole: block after block, each of ceil(n / nr) panels.
size_t packed_bytes(const kernels::Gemm& gemm, int k, int n) {
  size_t bytes = 0;
  for (int i = 0; i < k_blocks(k); ++i) {
    bytes += gemm.panel_bytes_b(block_extent(k, i)) * static_cast<size_t>(ceil_div(n, gemm.nr));
  }
  return bytes;
}

void pack_whole_b(const kernels::Gemm& gemm, const Matrix& b, int k, int n, std::byte* out) {
  const int panels = ceil_div(n, gemm.nr);
  constexpr int kPanelsPerTask = 8;
  const int tasks_per_block = ceil_div(panels, kPanelsPerTask);
  const size_t full_block = gemm.panel_bytes_b(std::min(k, kBlockK)) * static_cast<size_t>(panels);
  parallel_for(int64_t{tasks_per_block} * k_blocks(k), [&](int64_t task) {
    const int index = static_cast<int>(task / tasks_per_block);
    const int first = static_cast<int>(task % tasks_per_block) * kPanelsPerTask;
    const int last = std::min(panels, first + kPanelsPerTask);
    const int kb = block_extent(k, index);
    std::byte* base = out + full_block * static_cast<size_t>(index);
    gemm.pack_b(shifted(b, int64_t{index} * kBlockK, int64_t{first} * gemm.nr), kb,
                std::min(n, last * gemm.nr) - first * gemm.nr,
                base + gemm.panel_bytes_b(kb) * static_cast<size_t>(first));
  });
}

// How C is cut into tasks. Blocks of about 240 x 256 reuse both operands from cache; a small C is
// cut finer, so that every thread has work. An element's sum is the same however C is cut.
struct Cut {
  int row_step, col_step;
};

Cut cut_of(const kernels::Gemm& gemm, int m, int n, bool serially) {
  constexpr int kCutRows = 240, kCutCols = 256, kTasksPerThread = 4;
  const auto multiple = [](int extent, int unit) { return std::max(unit, extent / unit * unit); };
  Cut cut{multiple(kCutRows, gemm.mr), multiple(kCutCols, gemm.nr)};
  const int wanted = serially ? 1 : kTasksPerThread * thread_count();
  while (ceil_div(m, cut.row_step) * ceil_div(n, cut.col_step) < wanted) {
    const int rows = multiple(cut.row_step / 2, gemm.mr),
              cols = multiple(cut.col_step / 2, gemm.nr);
    const bool taller = std::min(m, cut.row_step) > std::min(n, cut.col_step);
    const bool rows_shrink = rows < cut.row_step, cols_shrink = cols < cut.col_step;
    if (!rows_shrink && !cols_shrink) break;
    if (rows_shrink && (taller || !cols_shrink)) {
      cut.row_step = rows;
    } else {
      cut.col_step = cols;
    }
  }
  return cut;
}

void multiply(int m, const LeftOperand& a, std::span<const PackedMatrix* const> bs, float* c,
              int64_t ldc, bool accumulate) {
  const kernels::Gemm& gemm = kernels::kernels().gemm[static_cast<int>(bs.front()->precision())];
  const int k = bs.front()->k();
  int n = 0;
  for (const PackedMatrix* b : bs) n += b->n();
  const bool serially = is_serial(m, n, k);
  const auto [row_step, col_step] = cut_of(gemm, m, n, serially);
  const PackedRows rows(m, a, *bs.front(), {row_step, serially || m <= gemm.mr});
  int col_tasks = 0;
  for (const PackedMatrix* b : bs) col_tasks += ceil_div(b->n(), col_step);
  const auto run = [&, row_step = row_step, col_step = col_step](int64_t task) {
    const int row = static_cast<int>(task / col_tasks) * row_step;
    // The weight that this task's columns belong to.
    int of_weight = static_cast<int>(task % col_tasks), first = 0;
    const PackedMatrix* const* at = bs.data();
    for (; of_weight >= ceil_div((*at)->n(), col_step); first += (*at++)->n())
      of_weight -= ceil_div((*at)->n(), col_step);
    const int col = of_weight * col_step;
    const Tile tile{row, std::min(row_step, m - row), col, std::min(col_step, (*at)->n() - col)};
    rows.multiply(**at, tile, c + row * ldc + first + col, ldc, accumulate);
  };
  for_tasks(serially, int64_t{ceil_div(m, row_step)} * col_tasks, run);
}

}  // namespace

bool is_serial(int m, int n, int k) {
  return thread_count() == 1 || int64_t{m} * n * k <= kSerialWork;
}

Matrix view(const Tensor& t) { return {t.data(), kernels::Element::kF32, t.cols(), 1}; }
Matrix view_transposed(const Tensor& t) { return {t.data(), kernels::Element::kF32, 1, t.cols()}; }
Matrix view_from_row(const Tensor& t, int64_t row) {
  return {t.row(row), kernels::Element::kF32, t.cols(), 1};
}

PackedMatrix::PackedMatrix(const Matrix& b, int k, int n, Precision precision)
    : k_(k), n_(n), precision_(precision), isa_(kernels::kernels().isa) {
  const kernels::Gemm& gemm = kernels::kernels().gemm[static_cast<int>(precision)];
  panels_ = Tensor::empty({static_cast<int64_t>(packed_bytes(gemm, k, n))}, DType::kU8);
  pack_whole_b(gemm, b, k, n, panels_.raw());
}

PackedMatrix::PackedMatrix(QuantizedMatrix quantized)
    : k_(static_cast<int>(quantized.in())),
      n_(static_cast<int>(quantized.out())),
      precision_(Precision::kFp32),
      isa_(kernels::kernels().isa),
      quantized_(std::move(quantized)) {}

bool PackedMatrix::usable() const { return quantized_ || kernels::kernels().isa == isa_; }

bool PackedMatrix::serves(Precision precision) const {
  return quantized_ || (precision_ == precision && usable());
}

size_t PackedMatrix::panel_bytes(int index) const {
  return kernels::kernels().gemm[static_cast<int>(precision_)].panel_bytes_b(
      block_extent(k_, index));
}

const std::byte* PackedMatrix::block(int index) const {
  const kernels::Gemm& gemm = kernels::kernels().gemm[static_cast<int>(precision_)];
  return panels_.raw() +
         panel_bytes(0) * static_cast<size_t>(ceil_div(n_, gemm.nr)) * static_cast<size_t>(index);
}

void product(const Product& p, const Matrix& a, const Matrix& b, float* c, int64_t ldc) {
  const PackedMatrix packed(b, p.k, p.n, p.precision);
  product(p.m, a, packed, c, ldc, p.accumulate);
}

void product(int m, const Matrix& a, const PackedMatrix& b, float* c, int64_t ldc,
             bool accumulate) {
  const PackedMatrix* const one[] = {&b};
  if (b.quantized() != nullptr) {
    ALAMBIC_CHECK(!accumulate);
    products(m, {a}, one, c, ldc);
    return;
  }
  ALAMBIC_CHECK(b.usable());
  if (m > 0 && b.n() > 0) multiply(m, {a}, one, c, ldc, accumulate);
}

void products(int m, const LeftOperand& a, std::span<const PackedMatrix* const> bs, float* c,
              int64_t ldc) {
  if (m == 0) return;
  const PackedMatrix& first = *bs.front();
  bool alike = true;
  for (const PackedMatrix* b : bs) {
    ALAMBIC_CHECK(b->usable() && b->k() == first.k());
    alike = alike && b->precision() == first.precision() && b->format() == first.format();
  }
  if (!alike) {
    for (const PackedMatrix* const& b : bs) {
      products(m, a, {&b, 1}, c, ldc);
      c += b->n();
    }
    return;
  }
  if (first.quantized() == nullptr) {
    multiply(m, a, bs, c, ldc, false);
    return;
  }
  ALAMBIC_CHECK(a.rows.element == kernels::Element::kF32 && a.rows.col_stride == 1);
  const QuantizedRows rows(*first.format(), m, first.k(), a);
  const QuantizedMatrix* weights[kMostProducts];
  ALAMBIC_CHECK(bs.size() <= kMostProducts);
  for (size_t i = 0; i < bs.size(); ++i) weights[i] = bs[i]->quantized();
  product(rows, {weights, bs.size()}, c, ldc);
}

Tensor floats_of(const Tensor& weight) {
  const bool quantized = weight.packed() != nullptr && weight.packed()->quantized() != nullptr;
  return quantized ? weight.packed()->quantized()->dequantized() : weight;
}

void prepare(Tensor& weight, Precision precision) {
  const auto k = static_cast<int>(weight.cols()), n = static_cast<int>(weight.rows());
  weight.set_packed(std::make_shared<PackedMatrix>(view_transposed(weight), k, n, precision));
}

}  // namespace alambic
