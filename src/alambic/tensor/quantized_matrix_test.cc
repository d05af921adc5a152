#include "alambic/tensor/quantized_matrix.h"

#include <gtest/gtest.h>

#include <cmath>

#include "alambic/base/rng.h"
#include "alambic/base/thread_pool.h"
#include "alambic/tensor/error_compensation.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

constexpr WeightFormat kFormats[] = {WeightFormat::kInt8, WeightFormat::kInt4};

Tensor normal(Shape shape, uint64_t seed) {
  Tensor t = Tensor::empty(std::move(shape));
  Rng rng(seed);
  for (float& x : t.values()) x = static_cast<float>(rng.normal());
  return t;
}

// c[m, out] = x wᵀ
void multiply(const QuantizedMatrix& w, int m, const float* x, float* c) {
  const QuantizedRows rows(w.format(), m, static_cast<int>(w.in()),
                           {{x, kernels::Element::kF32, w.in(), 1}});
  const QuantizedMatrix* const one[] = {&w};
  product(rows, one, c, w.out());
}

// Half a step of the grid: the range over its points, widened by the scale's rounding to bf16. The
// search for int4 may cut the range by a third, where that makes the sum of squares smaller, so
// there the bound is on the mean square: that of an even error over half a step.
TEST(QuantizedMatrix, RoundsEveryWeightToItsGrid) {
  for (const WeightFormat format : kFormats) {
    for (const auto& [out, in] : {std::pair{1, 1}, {16, 64}, {17, 100}, {45, 257}}) {
      const Tensor w = normal({out, in}, 3);
      const Tensor back = QuantizedMatrix::rounded(format, w).dequantized();
      const int size = kernels::group_size(format);
      for (int r = 0; r < out; ++r) {
        for (int first = 0; first < in; first += size) {
          float least = 0, most = 0;
          double squares = 0;
          const int count = std::min(size, in - first);
          for (int i = first; i < first + count; ++i) {
            least = std::min(least, w.row(r)[i]), most = std::max(most, w.row(r)[i]);
          }
          const double step =
              1.01 * (format == WeightFormat::kInt8 ? double{std::max(-least, most)} / 127
                                                    : double{most - least} / 15);
          for (int i = first; i < first + count; ++i) {
            const double gap = double{back.row(r)[i]} - double{w.row(r)[i]};
            squares += gap * gap;
            if (format == WeightFormat::kInt8) {
              ASSERT_LE(std::fabs(gap), step / 2);
            }
          }
          ASSERT_LE(squares, count * step * step / 4);
        }
      }
    }
  }
}

TEST(QuantizedMatrix, ZeroAndConstantGroupsComeBackExactly) {
  for (const WeightFormat format : kFormats) {
    Tensor w = Tensor::zeros({3, 70});
    for (int64_t i = 0; i < 70; ++i) w.row(1)[i] = 1.0F, w.row(2)[i] = -1.0F;
    const Tensor back = QuantizedMatrix::rounded(format, w).dequantized();
    // A scale is rounded up by at most 2^-7 of itself.
    for (int64_t i = 0; i < w.size(); ++i)
      ASSERT_NEAR(back.values()[i], w.values()[i], 1.0 / 128) << format_name(format);
    for (int64_t i = 0; i < 70; ++i) ASSERT_EQ(back.row(0)[i], 0.0F);
  }
}

// Rows are rounded to 127 steps of their largest; per term of the sum that is at most 1/254 of
// it times the weight. Reference: double sums over the dequantised weights.
TEST(QuantizedMatrix, ProductsAreThoseOfTheDequantisedWeights) {
  for (const WeightFormat format : kFormats) {
    for (const auto& [m, n, k] : {std::tuple{1, 5, 7}, {3, 64, 96}, {130, 33, 150}}) {
      const Tensor w = normal({n, k}, 1), x = normal({m, k}, 2);
      const QuantizedMatrix q = QuantizedMatrix::rounded(format, w);
      const Tensor back = q.dequantized();
      Tensor c = Tensor::empty({m, n});
      multiply(q, m, x.data(), c.data());
      for (int r = 0; r < m; ++r) {
        float most = 0;
        for (int i = 0; i < k; ++i) most = std::max(most, std::fabs(x.row(r)[i]));
        for (int col = 0; col < n; ++col) {
          double want = 0, size = 0;
          for (int i = 0; i < k; ++i) {
            want += double{x.row(r)[i]} * double{back.row(col)[i]};
            size += std::fabs(double{back.row(col)[i]});
          }
          ASSERT_NEAR(c.row(r)[col], want, size * most / 250 + 1e-4);
        }
      }
    }
  }
}

TEST(QuantizedMatrix, ThreadsTablesAndNeighboursChangeNoBit) {
  const kernels::Isa isa = kernels::kernels().isa;
  const int threads = thread_count();
  const int m = 140, n = 90, k = 210;
  const Tensor w = normal({n, k}, 4), x = normal({m, k}, 5);
  for (const WeightFormat format : kFormats) {
    const QuantizedMatrix q = QuantizedMatrix::rounded(format, w);
    Tensor want = Tensor::empty({m, n}), c = Tensor::empty({m, n});
    set_thread_count(1);
    for (int r = 0; r < m; ++r) multiply(q, 1, x.row(r), want.row(r));
    for (const kernels::KernelTable& table : kernels::supported_kernels()) {
      kernels::use_kernels(table.isa);
      for (const int count : {1, 2, 3}) {
        set_thread_count(count);
        multiply(q, m, x.data(), c.data());
        EXPECT_TRUE(std::equal(c.values().begin(), c.values().end(), want.values().begin()));
      }
    }
    kernels::use_kernels(isa);
  }
  set_thread_count(threads);
}

TEST(QuantizedMatrix, AsPackedMatrixItServesEveryPrecisionAndTable) {
  const Tensor w = normal({20, 40}, 4), x = normal({3, 40}, 5);
  const PackedMatrix packed(QuantizedMatrix::rounded(WeightFormat::kInt8, w));
  EXPECT_TRUE(packed.serves(Precision::kFp32) && packed.serves(Precision::kBf16));
  Tensor c = Tensor::empty({3, 20}), want = Tensor::empty({3, 20});
  product(3, view(x), packed, c.data(), 20, false);
  multiply(*packed.quantized(), 3, x.data(), want.data());
  EXPECT_TRUE(std::equal(c.values().begin(), c.values().end(), want.values().begin()));
}

// Inputs that move together: compensation must lose less of the layer's output than plain rounding,
// here by at least a quarter of the squared error.
TEST(ErrorCompensation, LosesLessOfTheOutputThanPlainRounding) {
  const int out = 40, in = 150, rows = 600;
  const Tensor w = normal({out, in}, 6), mix = normal({in, in / 3}, 7),
               cause = normal({rows, in / 3}, 8), noise = normal({rows, in}, 9);
  Tensor x = Tensor::empty({rows, in});
  product({rows, in, in / 3}, view(cause), view_transposed(mix), x.data(), in);
  for (int64_t i = 0; i < x.size(); ++i) x.values()[i] += 0.3F * noise.values()[i];
  Tensor gram = Tensor::empty({in, in});
  product({in, in, rows}, view_transposed(x), view(x), gram.data(), in);
  const auto loss = [&](const QuantizedMatrix& q) {
    const Tensor back = q.dequantized();
    double sum = 0;
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < out; ++c) {
        double gap = 0;
        for (int i = 0; i < in; ++i)
          gap += double{x.row(r)[i]} * (double{back.row(c)[i]} - double{w.row(c)[i]});
        sum += gap * gap;
      }
    }
    return sum;
  };
  for (const WeightFormat format : kFormats) {
    EXPECT_LT(loss(rounded_with_compensation(format, w, gram)),
              0.75 * loss(QuantizedMatrix::rounded(format, w)))
        << format_name(format);
  }
}

TEST(ErrorCompensation, InputsThatNeverCameLeavePlainRounding) {
  const Tensor w = normal({20, 70}, 6), nothing = Tensor::zeros({70, 70});
  const Tensor a = rounded_with_compensation(WeightFormat::kInt4, w, nothing).dequantized();
  const Tensor b = QuantizedMatrix::rounded(WeightFormat::kInt4, w).dequantized();
  EXPECT_TRUE(std::equal(a.values().begin(), a.values().end(), b.values().begin()));
}

}  // namespace
}  // namespace alambic
