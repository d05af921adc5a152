#include "alambic/tensor/product.h"

#include <gtest/gtest.h>

#include <cmath>

#include "alambic/base/rng.h"

namespace alambic {
namespace {

Tensor gaussian(Shape shape, uint64_t seed) {
  Tensor t = Tensor::empty(std::move(shape));
  Rng rng(seed);
  for (float& x : t.values()) x = static_cast<float>(rng.normal());
  return t;
}

struct Size {
  int m, n, k;
};

class Products : public testing::TestWithParam<Size> {
 protected:
  void TearDown() override {
    kernels::use_kernels(isa_);
    set_thread_count(threads_);
  }
  kernels::Isa isa_ = kernels::kernels().isa;
  int threads_ = thread_count();
};

// A[m, k] B[k, n] in double, from the stored operands.
std::vector<double> plain(const Tensor& a, const Tensor& b, const Size& s) {
  std::vector<double> c(static_cast<size_t>(s.m) * s.n);
  for (int i = 0; i < s.m; ++i) {
    for (int p = 0; p < s.k; ++p) {
      for (int j = 0; j < s.n; ++j)
        c[static_cast<size_t>(i) * s.n + j] += double{a.row(i)[p]} * double{b.row(p)[j]};
    }
  }
  return c;
}

Tensor transposed(const Tensor& t) {
  Tensor out = Tensor::empty({t.cols(), t.rows()});
  for (int64_t r = 0; r < t.rows(); ++r) {
    for (int64_t c = 0; c < t.cols(); ++c) out.row(c)[r] = t.row(r)[c];
  }
  return out;
}

// Every way to hand over the operands, on every table. Tolerance: 1e-5 (fp32) or 2^-7 (bf16) of
// sqrt(k).
TEST_P(Products, EqualPlainLoopsHoweverTheOperandsLie) {
  const Size s = GetParam();
  const Tensor a = gaussian({s.m, s.k}, 1), b = gaussian({s.k, s.n}, 2),
               start = gaussian({s.m, s.n}, 3);
  const Tensor at = transposed(a), bt = transposed(b);
  const std::vector<double> want = plain(a, b, s);
  for (const kernels::KernelTable& table : kernels::supported_kernels()) {
    kernels::use_kernels(table.isa);
    for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
      const double tolerance = (precision == Precision::kFp32 ? 1e-5 : 0.02) * std::sqrt(s.k + 1.0);
      const auto check = [&](const Tensor& c, bool added, const char* how) {
        for (size_t i = 0; i < want.size(); ++i) {
          ASSERT_NEAR(double{c.values()[i]}, want[i] + (added ? double{start.values()[i]} : 0.0),
                      tolerance)
              << kernels::isa_name(table.isa) << " " << how << " element " << i;
        }
      };
      Tensor c = start.clone();
      product({s.m, s.n, s.k, precision}, view(a), view(b), c.data(), s.n);
      check(c, false, "plain");
      product({s.m, s.n, s.k, precision}, view_transposed(at), view_transposed(bt), c.data(), s.n);
      check(c, false, "transposed");
      c = start.clone();
      product({s.m, s.n, s.k, precision, true}, view(a), view(b), c.data(), s.n);
      check(c, true, "added");
      const PackedMatrix packed(view(b), s.k, s.n, precision);
      Tensor from_packed = Tensor::empty({s.m, s.n});
      product(s.m, view(a), packed, from_packed.data(), s.n, false);
      check(from_packed, false, "packed");
    }
  }
}

TEST_P(Products, ThreadsChangeNoBit) {
  const Size s = GetParam();
  const Tensor a = gaussian({s.m, s.k}, 1), b = gaussian({s.k, s.n}, 2);
  const auto run = [&](int threads) {
    set_thread_count(threads);
    Tensor c = Tensor::empty({s.m, s.n});
    product({s.m, s.n, s.k, Precision::kBf16}, view(a), view(b), c.data(), s.n);
    return std::vector<float>(c.values().begin(), c.values().end());
  };
  const auto want = run(1);
  EXPECT_TRUE(run(2) == want);
  EXPECT_TRUE(run(3) == want);
}

INSTANTIATE_TEST_SUITE_P(Sizes, Products,
                         testing::Values(Size{1, 1, 1}, Size{3, 5, 7}, Size{17, 33, 65},
                                         Size{241, 257, 30}, Size{2, 300, 513},
                                         Size{250, 20, 1100}),
                         [](const auto& test) {
                           return std::to_string(test.param.m) + "x" +
                                  std::to_string(test.param.n) + "x" + std::to_string(test.param.k);
                         });

// Several weights of one left operand, in floating point, quantised and mixed, with and without a
// norm on the way in: the bits of each weight alone.
TEST(ProductsSideBySide, AreThoseOfEachWeightAlone) {
  const int k = 600, widths[] = {33, 70, 16};
  const Tensor norm = gaussian({k}, 9);
  constexpr float kEps = 1e-5F;
  const auto weights_of = [&](int form) {  // 0: fp32, 1: bf16, 2: int8, 3: one of each
    std::vector<PackedMatrix> weights;
    for (int i = 0; i < 3; ++i) {
      const Tensor w = gaussian({widths[i], k}, 20 + static_cast<uint64_t>(i));
      if (form == 2 || (form == 3 && i > 0)) {
        weights.emplace_back(QuantizedMatrix::rounded(
            form == 3 && i == 2 ? WeightFormat::kInt4 : WeightFormat::kInt8, w));
      } else {
        weights.emplace_back(view_transposed(w), k, widths[i],
                             form == 1 ? Precision::kBf16 : Precision::kFp32);
      }
    }
    return weights;
  };
  for (int form = 0; form < 4; ++form) {
    const std::vector<PackedMatrix> weights = weights_of(form);
    const PackedMatrix* const all[] = {&weights[0], &weights[1], &weights[2]};
    for (const int m : {1, 7, 130}) {
      const Tensor x = gaussian({m, k}, 5);
      Tensor normed = Tensor::empty({m, k});
      kernels::kernels().rms_norm(x.data(), norm.data(), m, k, kEps, normed.data(), nullptr);
      for (const bool with_norm : {false, true}) {
        Tensor got = Tensor::empty({m, 33 + 70 + 16});
        const LeftOperand left{view(x), with_norm ? norm.data() : nullptr, kEps};
        products(m, left, all, got.data(), got.cols());
        int64_t first = 0;
        for (const PackedMatrix& w : weights) {
          Tensor want = Tensor::empty({m, w.n()});
          product(m, view(with_norm ? normed : x), w, want.data(), w.n(), false);
          for (int r = 0; r < m; ++r) {
            ASSERT_TRUE(std::equal(want.row(r), want.row(r) + w.n(), got.row(r) + first))
                << "form " << form << " m " << m << " norm " << with_norm << " row " << r;
          }
          first += w.n();
        }
      }
    }
  }
}

TEST(PackedMatrix, BelongsToTheTableThatMadeIt) {
  const kernels::Isa isa = kernels::kernels().isa;
  const Tensor b = gaussian({4, 4}, 1);
  const PackedMatrix packed(view(b), 4, 4, Precision::kFp32);
  EXPECT_TRUE(packed.usable());
  if (isa != kernels::Isa::kScalar) {
    kernels::use_kernels(kernels::Isa::kScalar);
    EXPECT_FALSE(packed.usable());
    kernels::use_kernels(isa);
  }
}

}  // namespace
}  // namespace alambic
