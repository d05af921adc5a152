#include "alambic/tensor/product.h"

#include <algorithm>

#include "alambic/base/error.h"

namespace alambic {
namespace {

// k is cut into blocks whose B panel and a few A panels stay in the first two cache levels; sums go
// on from the stored C, which loses nothing in fp32.
constexpr int kBlockK = 512;

int k_blocks(int k) { return std::max(1, (k + kBlockK - 1) / kBlockK); }
int block_extent(int k, int index) { return std::min(kBlockK, k - index * kBlockK); }

Matrix shifted(const Matrix& m, int64_t row, int64_t col) {
  const size_t element = m.element == kernels::Element::kF32 ? 4 : 2;
  const auto* base = static_cast<const std::byte*>(m.data);
  const int64_t offset = row * m.row_stride + col * m.col_stride;
  return {base + offset * static_cast<int64_t>(element), m.element, m.row_stride, m.col_stride};
}

int ceil_div(int a, int b) { return (a + b - 1) / b; }

bool serial(int m, int n, int k) {
  return thread_count() == 1 || int64_t{m} * n * k <= kSerialWork;
}

template <class Task>
void for_tasks(bool serially, int64_t count, const Task& task) {
  if (!serially) return parallel_for(count, task);
  for (int64_t i = 0; i < count; ++i) task(i);
}

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

// The left operand in panels: block after block of k, each with the panels of all rows.
struct PanelsOfA {
  Tensor data;
  size_t full_block;  // bytes of one whole k-block

  PanelsOfA(const kernels::Gemm& gemm, const LeftOperand& a, int m, int k, int row_step,
            bool serially)
      : full_block(gemm.panel_bytes_a(std::min(k, kBlockK)) *
                   static_cast<size_t>(ceil_div(m, gemm.mr))) {
    const int blocks = k_blocks(k), row_tasks = ceil_div(m, row_step);
    data = Tensor::empty({static_cast<int64_t>(full_block) * blocks}, DType::kU8);
    std::byte* panels = data.raw();
    const auto pack = [&, panels](const Matrix& rows, int row, int count, int index) {
      const int kb = block_extent(k, index);
      gemm.pack_a(shifted(rows, 0, int64_t{index} * kBlockK), count, kb,
                  panels + full_block * static_cast<size_t>(index) +
                      gemm.panel_bytes_a(kb) * static_cast<size_t>(row / gemm.mr));
    };
    if (a.norm == nullptr) {
      for_tasks(serially || row_tasks * blocks == 1, int64_t{row_tasks} * blocks,
                [&](int64_t task) {
                  const int row = static_cast<int>(task / blocks) * row_step;
                  pack(shifted(a.rows, row, 0), row, std::min(row_step, m - row),
                       static_cast<int>(task % blocks));
                });
      return;
    }
    // As many rows as stay in the first cache level between norm and panel.
    const int step = gemm.mr * std::max(1, 16 / gemm.mr), tasks = ceil_div(m, step);
    for_tasks(serially || tasks == 1, tasks, [&](int64_t task) {
      const int row = static_cast<int>(task) * step, count = std::min(step, m - row);
      const float* normed = a.normed(row, count, k);
      for (int index = 0; index < blocks; ++index)
        pack({normed, kernels::Element::kF32, k, 1}, row, count, index);
    });
  }
};

void multiply(int m, const LeftOperand& a, std::span<const PackedMatrix* const> bs, float* c,
              int64_t ldc, bool accumulate) {
  const kernels::Gemm& gemm = kernels::kernels().gemm[static_cast<int>(bs.front()->precision())];
  const int k = bs.front()->k();
  int n = 0;
  for (const PackedMatrix* b : bs) n += b->n();
  const bool serially = serial(m, n, k);
  const auto [row_step, col_step] = cut_of(gemm, m, n, serially);
  const PanelsOfA panels(gemm, a, m, k, row_step, serially || m <= gemm.mr);
  int col_tasks = 0;
  for (const PackedMatrix* b : bs) col_tasks += ceil_div(b->n(), col_step);
  for_tasks(serially, int64_t{ceil_div(m, row_step)} * col_tasks,
            [&, row_step = row_step, col_step = col_step](int64_t task) {
              const int row = static_cast<int>(task / col_tasks) * row_step;
              // The weight that this task's columns belong to.
              int of_weight = static_cast<int>(task % col_tasks), first = 0;
              const PackedMatrix* const* at = bs.data();
              for (; of_weight >= ceil_div((*at)->n(), col_step); first += (*at++)->n())
                of_weight -= ceil_div((*at)->n(), col_step);
              const PackedMatrix& b = **at;
              const int col = of_weight * col_step;
              for (int index = 0; index < k_blocks(k); ++index) {
                const int kb = block_extent(k, index);
                gemm.multiply(
                    panels.data.raw() + panels.full_block * static_cast<size_t>(index) +
                        gemm.panel_bytes_a(kb) * static_cast<size_t>(row / gemm.mr),
                    b.block(index) + b.panel_bytes(index) * static_cast<size_t>(col / gemm.nr),
                    std::min(row_step, m - row), std::min(col_step, b.n() - col), kb,
                    c + row * ldc + first + col, ldc, accumulate || index > 0);
              }
            });
}

}  // namespace

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
