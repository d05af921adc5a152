#include "alambic/tensor/error_compensation.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "alambic/base/error.h"
#include "alambic/base/thread_pool.h"

namespace alambic {
namespace {

// Added to the diagonal, as a part of its mean: keeps directions that the text never used from
// taking corrections without bound.
constexpr double kDamping = 0.01;
constexpr int64_t kBlock = 64;  // columns between two updates of all later ones

// A square matrix of doubles, row-major.
struct Square {
  explicit Square(int64_t size) : n(size), values(static_cast<size_t>(size * size)) {}
  double* row(int64_t r) { return values.data() + r * n; }
  const double* row(int64_t r) const { return values.data() + r * n; }
  int64_t n;
  std::vector<double> values;
};

void subtract(double factor, const double* x, int64_t count, double* y) {
  for (int64_t i = 0; i < count; ++i) y[i] -= factor * x[i];
}

// A = Vᵀ V in place, V upper triangular. False if A is not positive definite. Rows are brought up
// to date a block of factor rows at a time, so that those stay in cache.
bool factorise(Square& a) {
  for (int64_t first = 0; first < a.n; first += kBlock) {
    const int64_t last = std::min(a.n, first + kBlock);
    for (int64_t j = first; j < last; ++j) {
      double* row = a.row(j);
      for (int64_t p = first; p < j; ++p) subtract(a.row(p)[j], a.row(p) + j, a.n - j, row + j);
      if (!(row[j] > 0) || !std::isfinite(row[j])) return false;
      const double inverse = 1 / std::sqrt(row[j]);
      for (int64_t i = j; i < a.n; ++i) row[i] *= inverse;
    }
    parallel_for(a.n - last, [&](int64_t task) {
      const int64_t i = last + task;
      for (int64_t p = first; p < last; ++p)
        subtract(a.row(p)[i], a.row(p) + i, a.n - i, a.row(i) + i);
    });
  }
  return true;
}

// V⁻¹ of an upper triangular V, by back substitution; strips of columns are independent.
Square inverse_of_upper(const Square& v) {
  Square x(v.n);
  parallel_for((v.n + kBlock - 1) / kBlock, [&](int64_t task) {
    const int64_t begin = task * kBlock, end = std::min(v.n, begin + kBlock);
    for (int64_t i = end - 1; i >= 0; --i) {
      double* row = x.row(i) + begin;
      if (i >= begin) row[i - begin] = 1;
      for (int64_t p = i + 1; p < end; ++p)
        subtract(v.row(i)[p], x.row(p) + begin, end - begin, row);
      for (int64_t c = 0; c < end - begin; ++c) row[c] /= v.row(i)[i];
    }
  });
  return x;
}

// U with (H + damping)⁻¹ = Uᵀ U, upper triangular: factorising H with its order reversed gives H =
// R Rᵀ with an upper R, and U is R⁻¹. Undefined where H is not positive definite.
Tensor inverse_factor(const Tensor& gram) {
  const int64_t n = gram.rows();
  double mean = 0;
  for (int64_t i = 0; i < n; ++i) mean += double{gram.row(i)[i]} / static_cast<double>(n);
  if (!(mean > 0)) return {};
  Square reversed(n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i; j < n; ++j) reversed.row(n - 1 - j)[n - 1 - i] = double{gram.row(i)[j]};
    reversed.row(n - 1 - i)[n - 1 - i] += kDamping * mean;
  }
  if (!factorise(reversed)) return {};
  const Square inverse = inverse_of_upper(reversed);
  Tensor u = Tensor::zeros({n, n});
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i; j < n; ++j)
      u.row(i)[j] = static_cast<float>(inverse.row(n - 1 - j)[n - 1 - i]);
  }
  return u;
}

}  // namespace

QuantizedMatrix rounded_with_compensation(WeightFormat format, const Tensor& w,
                                          const Tensor& gram) {
  const int64_t out = w.rows(), in = w.cols(), size = kernels::group_size(format);
  ALAMBIC_CHECK(gram.rows() == in && gram.cols() == in);
  const Tensor u = inverse_factor(gram);
  if (!u.defined()) return QuantizedMatrix::rounded(format, w);
  std::vector<float> importance(static_cast<size_t>(in));
  for (int64_t j = 0; j < in; ++j)
    importance[static_cast<size_t>(j)] = 1 / (u.row(j)[j] * u.row(j)[j]);
  QuantizedMatrixBuilder builder(format, out, in);
  const auto& table = kernels::kernels();
  constexpr int64_t kPanelRows = kernels::kPanelColumns;
  static_assert(kBlock % 64 == 0, "groups must not straddle blocks");
  parallel_for((out + kPanelRows - 1) / kPanelRows, [&](int64_t task) {
    const int64_t first = task * kPanelRows, rows = std::min(kPanelRows, out - first);
    std::vector<float> work(w.row(first), w.row(first) + rows * in);
    std::vector<float> errors(static_cast<size_t>(kPanelRows * kBlock));
    for (int64_t begin = 0; begin < in; begin += kBlock) {
      const int64_t end = std::min(in, begin + kBlock);
      for (int64_t r = 0; r < rows; ++r) {
        float* row = work.data() + r * in;
        GroupRounding rounding{};
        for (int64_t j = begin; j < end; ++j) {
          if (j % size == 0) {
            const auto count = static_cast<size_t>(std::min(size, in - j));
            rounding = group_rounding(format, {row + j, count},
                                      {&importance[static_cast<size_t>(j)], count});
            builder.set_group(first + r, j / size, rounding);
          }
          const int q = rounding.nearest(row[j]);
          builder.set(first + r, j, q);
          const float error = (row[j] - rounding.value(q)) / u.row(j)[j];
          errors[static_cast<size_t>(r * kBlock + j - begin)] = -error;
          table.axpy(-error, u.row(j) + j + 1, end - j - 1, row + j + 1);
        }
      }
      if (end < in) {
        table.matmul_small(errors.data(), kBlock, 1, u.row(begin) + end, in, static_cast<int>(rows),
                           static_cast<int>(in - end), static_cast<int>(end - begin),
                           work.data() + end, in, true);
      }
    }
  });
  return builder.finish();
}

}  // namespace alambic
