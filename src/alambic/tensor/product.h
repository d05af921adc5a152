// Matrix products over all threads: C[m, n] (+)= A[m, k] B[k, n], fp32 sums in ascending k whatever
// the blocking, so neither the thread count nor the number of rows changes a bit of the result.
// Operands are strided views, so that x wᵀ, dy w and dyᵀ x are one function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "alambic/kernels/table.h"
#include "alambic/tensor/left_operand.h"
#include "alambic/tensor/quantized_matrix.h"
#include "alambic/tensor/tensor.h"

namespace alambic {

using kernels::Precision;

// Row-major views of an fp32 tensor [rows, cols], as it is and transposed.
Matrix view(const Tensor& t);
Matrix view_transposed(const Tensor& t);
// The view that starts at `row`.
Matrix view_from_row(const Tensor& t, int64_t row);

// A right-hand operand B[k, n] in the kernels' own panel form, to be used by many products. A
// quantised weight is one, too: it serves products of either precision, always with 8-bit rows.
class PackedMatrix {
 public:
  PackedMatrix(const Matrix& b, int k, int n, Precision precision);
  explicit PackedMatrix(QuantizedMatrix quantized);
  int k() const { return k_; }
  int n() const { return n_; }
  Precision precision() const { return precision_; }
  // True while the kernel table that made the panels is still in use; always, if quantised.
  bool usable() const;
  // True where products of this precision may use it.
  bool serves(Precision precision) const;
  const QuantizedMatrix* quantized() const { return quantized_ ? &*quantized_ : nullptr; }
  std::optional<WeightFormat> format() const {
    return quantized_ ? std::optional(quantized_->format()) : std::nullopt;
  }
  const std::byte* block(int index) const;  // panels of k-block `index`
  size_t panel_bytes(int index) const;

 private:
  int k_, n_;
  Precision precision_;
  kernels::Isa isa_;
  Tensor panels_;
  std::optional<QuantizedMatrix> quantized_;
};

// Products smaller than this (multiplications) take less time than handing a task to another
// thread.
inline constexpr int64_t kSerialWork = 1 << 17;
bool is_serial(int m, int n, int k);

struct Product {
  int m, n, k;
  Precision precision = Precision::kFp32;
  bool accumulate = false;
};
void product(const Product& p, const Matrix& a, const Matrix& b, float* c, int64_t ldc);
// A quantised b wants fp32 rows that are contiguous, and cannot accumulate.
void product(int m, const Matrix& a, const PackedMatrix& b, float* c, int64_t ldc, bool accumulate);

// Several weights, one left operand of k columns: the results stand side by side in the columns of
// c. The operand is packed (or quantised) once, and all weights share one parallel loop.
inline constexpr size_t kMostProducts = 8;
void products(int m, const LeftOperand& a, std::span<const PackedMatrix* const> bs, float* c,
              int64_t ldc);

// The numbers of a weight, dequantised where it exists in that form alone.
Tensor floats_of(const Tensor& weight);

// Packs a frozen weight [out, in] for x wᵀ and keeps the panels with the tensor; linear() then
// skips packing.
void prepare(Tensor& weight, Precision precision);

// task(i) for i in [0, count), on this thread alone if `serially`.
template <class Task>
void for_tasks(bool serially, int64_t count, const Task& task);

// Runs body(begin, end) over [0, rows) in fixed chunks of `grain` rows, in parallel.
template <class Body>
void parallel_rows(int64_t rows, int64_t grain, const Body& body);

}  // namespace alambic

#include "alambic/base/thread_pool.h"

namespace alambic {

template <class Task>
void for_tasks(bool serially, int64_t count, const Task& task) {
  if (!serially) return parallel_for(count, task);
  for (int64_t i = 0; i < count; ++i) task(i);
}

template <class Body>
void parallel_rows(int64_t rows, int64_t grain, const Body& body) {
  const int64_t chunks = (rows + grain - 1) / grain;
  parallel_for(chunks, [&](int64_t chunk) {
    const int64_t begin = chunk * grain;
    body(begin, begin + grain < rows ? begin + grain : rows);
  });
}

}  // namespace alambic
