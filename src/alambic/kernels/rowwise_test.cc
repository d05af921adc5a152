// Row-wise kernels against formulas in double precision. Lengths cover every tail of 4, 8, 16 and
// 32 lanes; every buffer starts one element off any alignment and ends exactly where the contract
// says.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "alambic/kernels/test_tables.h"

namespace alambic::kernels {
namespace {

constexpr int kLengths[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 288};
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kTiny = std::numeric_limits<float>::min();

void for_each_case(const std::function<void(const KernelTable&, int)>& check) {
  for (const NamedTable& named : tables_under_test()) {
    for (int n : kLengths) {
      SCOPED_TRACE(::testing::Message() << named.name << " n " << n);
      check(named.table, n);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

std::vector<float> spread(size_t n, uint64_t seed, float factor) {
  auto values = random_floats(n, seed);
  for (float& value : values) value *= factor;
  return values;
}

// `tolerance` is relative, to max(|want|, scale).
void expect_close(float got, double want, double tolerance, double scale = 0) {
  EXPECT_NEAR(got, want, tolerance * std::max(std::fabs(want), scale) + kTiny);
}

TEST(RowwiseTest, SumsAreExactToTheChainsBound) {
  for_each_case([](const KernelTable& table, int n) {
    const auto a = random_floats(n + 1, 1), b = random_floats(n + 1, 2);
    double product = 0, size = 0, squares = 0;
    for (int i = 1; i <= n; ++i) {
      const double x = a[i], y = b[i];
      product += x * y, size += std::fabs(x * y), squares += x * x;
    }
    EXPECT_NEAR(table.dot(a.data() + 1, b.data() + 1, n), product, (n + 1) * 0x1p-24 * size);
    EXPECT_NEAR(table.sum_squares(a.data() + 1, n), squares, n * 0x1p-53 * squares);
  });
  for (const NamedTable& named : tables_under_test()) {
    EXPECT_EQ(named.table.dot(nullptr, nullptr, 0), 0.0f);
    EXPECT_EQ(named.table.sum_squares(nullptr, 0), 0.0);
  }
}

TEST(RowwiseTest, SumOfSquaresDoesNotOverflow) {
  for (const NamedTable& named : tables_under_test()) {
    const std::vector<float> x(40, 3e38f);
    EXPECT_NEAR(named.table.sum_squares(x.data(), 40), 40.0 * 3e38f * static_cast<double>(3e38f),
                1e66);
  }
}

TEST(RowwiseTest, MaximumAndItsLowestIndexAreExact) {
  for_each_case([](const KernelTable& table, int n) {
    for (int where = 0; where < n; ++where) {
      std::vector<float> x = random_floats(n + 1, 3);
      x[1 + where] = 5.0f;
      x[1 + std::min(n - 1, where + 9)] = 5.0f;
      EXPECT_EQ(table.max(x.data() + 1, n), 5.0f);
      ASSERT_EQ(table.argmax(x.data() + 1, n), where);
    }
    const std::vector<float> masked(n, -kInfinity);
    EXPECT_EQ(table.max(masked.data(), n), -kInfinity);
    EXPECT_EQ(table.argmax(masked.data(), n), 0);
  });
}

TEST(RowwiseTest, ExponentialIsWithin3e7OfTheTruthEverywhere) {
  for (const NamedTable& named : tables_under_test()) {
    std::vector<float> x, out(1);
    for (float v = -104.0f; v < 88.7f; v += 0.00137f) x.push_back(v);
    out.resize(x.size());
    named.table.exp_sum(x.data(), 0.0f, 1.0f, static_cast<int64_t>(x.size()), out.data());
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = std::exp(static_cast<double>(x[i]));
      if (want >= kTiny) {
        worst = std::max(worst, std::fabs(out[i] - want) / want);
      } else {
        ASSERT_NEAR(out[i], want, 1.5e-45) << x[i];  // one step of the subnormals
      }
    }
    EXPECT_LT(worst, 3e-7) << named.name;
  }
}

TEST(RowwiseTest, ExponentialSumMatchesAndMasksVanish) {
  for_each_case([](const KernelTable& table, int n) {
    auto x = spread(n + 1, 4, 20.0f);
    for (int i = 3; i < n; i += 5) x[1 + i] = -kInfinity;
    std::vector<float> out(n + 1, -1.0f);
    double want = 0;
    const float sum = table.exp_sum(x.data() + 1, 20.0f, 0.5f, n, out.data() + 1);
    for (int i = 1; i <= n; ++i) {
      const double e = std::exp(0.5 * (static_cast<double>(x[i]) - 20.0));
      expect_close(out[i], e, 2e-6);  // 20 ulp of the argument's rounding at |x| = 20
      if (x[i] == -kInfinity) {
        EXPECT_EQ(out[i], 0.0f);
      }
      want += e;
    }
    EXPECT_EQ(out[0], -1.0f);
    expect_close(sum, want, 3e-6);
    table.exp_sum(x.data() + 1, 20.0f, 0.5f, n, x.data() + 1);  // in place
    EXPECT_EQ(std::vector<float>(x.begin() + 1, x.end()),
              std::vector<float>(out.begin() + 1, out.end()));
  });
}

TEST(RowwiseTest, ExponentialEndsAreClean) {
  for (const NamedTable& named : tables_under_test()) {
    const float x[] = {-1e30f, -3e38f, -kInfinity, 0.0f, 1e30f, kInfinity, -200.0f, std::nanf("")};
    float out[8];
    named.table.exp_sum(x, 0.0f, 1.0f, 8, out);
    for (int i : {0, 1, 2, 6}) EXPECT_EQ(out[i], 0.0f) << named.name << " " << x[i];
    EXPECT_EQ(out[3], 1.0f);
    EXPECT_EQ(out[4], kInfinity);
    EXPECT_EQ(out[5], kInfinity);
    EXPECT_TRUE(std::isnan(out[7]));
  }
}

TEST(RowwiseTest, SoftmaxGradientMatchesTheFormula) {
  for_each_case([](const KernelTable& table, int n) {
    const auto p = random_floats(n + 1, 22), dp = random_floats(n + 1, 23);
    std::vector<float> ds(n + 2, 9.0f);
    table.softmax_backward(p.data() + 1, dp.data() + 1, 0.3f, 0.125f, n, ds.data() + 1);
    for (int i = 1; i <= n; ++i) {
      const double want = static_cast<double>(p[i]) * (static_cast<double>(dp[i]) - 0.3f) * 0.125;
      expect_close(ds[i], want, 1e-6, 1e-2);
    }
    EXPECT_EQ(ds[0], 9.0f);
    EXPECT_EQ(ds[n + 1], 9.0f);
  });
}

TEST(RowwiseTest, SimpleArithmeticIsExact) {
  for_each_case([](const KernelTable& table, int n) {
    const auto a = random_floats(n + 1, 5), b = random_floats(n + 1, 6);
    std::vector<float> sum(n + 2, 9.0f), y = b, scaled = a;
    table.add(a.data() + 1, b.data() + 1, n, sum.data() + 1);
    table.axpy(0.3f, a.data() + 1, n, y.data() + 1);
    table.scale(1.7f, n, scaled.data() + 1);
    for (int i = 1; i <= n; ++i) {
      EXPECT_EQ(sum[i], a[i] + b[i]);
      expect_close(y[i], static_cast<double>(0.3f) * a[i] + b[i], 0x1p-23, 1.0);
      EXPECT_EQ(scaled[i], a[i] * 1.7f);
    }
    EXPECT_EQ(sum[0], 9.0f);
    EXPECT_EQ(sum[n + 1], 9.0f);
  });
}

TEST(RowwiseTest, RmsNormAndItsGradientMatchTheFormula) {
  for_each_case([](const KernelTable& table, int dim) {
    const int rows = 3;
    const float eps = 1e-5f;
    const auto x = random_floats(rows * dim + 1, 7), w = random_floats(dim + 1, 8);
    const auto dy = random_floats(rows * dim + 1, 9), dw_before = random_floats(dim + 1, 10);
    std::vector<float> y(rows * dim + 1), inverse(rows), dx(rows * dim + 1), dw = dw_before;
    std::vector<float> y2(rows * dim + 1);
    table.rms_norm(x.data() + 1, w.data() + 1, rows, dim, eps, y.data() + 1, inverse.data());
    table.rms_norm(x.data() + 1, w.data() + 1, rows, dim, eps, y2.data() + 1, nullptr);
    EXPECT_EQ(y, y2);
    table.rms_norm_backward(dy.data() + 1, x.data() + 1, w.data() + 1, inverse.data(), rows, dim,
                            dx.data() + 1, dw.data() + 1);
    std::vector<double> want_dw(dw_before.begin(), dw_before.end());
    for (int r = 0; r < rows; ++r) {
      double squares = 0, pull = 0, size = 0;
      for (int i = 0; i < dim; ++i) {
        const double v = x[1 + r * dim + i];
        squares += v * v;
        pull += static_cast<double>(dy[1 + r * dim + i]) * w[1 + i] * v;
        size += std::fabs(static_cast<double>(dy[1 + r * dim + i]) * w[1 + i] * v);
      }
      const double s = 1.0 / std::sqrt(squares / dim + eps);
      expect_close(inverse[r], s, 1e-6);
      for (int i = 0; i < dim; ++i) {
        const double v = x[1 + r * dim + i], d = dy[1 + r * dim + i];
        expect_close(y[1 + r * dim + i], v * s * w[1 + i], 2e-6);
        const double want = s * d * w[1 + i] - s * s * s * v * pull / dim;
        EXPECT_NEAR(dx[1 + r * dim + i], want,
                    2e-6 * (std::fabs(s * d * w[1 + i]) + s * s * s * size / dim * std::fabs(v)));
        want_dw[1 + i] += d * v * s;
      }
    }
    for (int i = 1; i <= dim; ++i) EXPECT_NEAR(dw[i], want_dw[i], 4e-6 * rows * 2);
  });
}

TEST(RowwiseTest, LayerNormAndItsGradientMatchTheFormula) {
  for_each_case([](const KernelTable& table, int dim) {
    const int rows = 3;
    const float eps = 1e-5f;
    const auto x = random_floats(rows * dim + 1, 21), w = random_floats(dim + 1, 22);
    const auto b = random_floats(dim + 1, 23), dy = random_floats(rows * dim + 1, 24);
    std::vector<float> y(rows * dim + 1), mean(rows), inverse(rows), dx(rows * dim + 1);
    std::vector<float> dw(dim + 1, 0.5f), db(dim + 1, 0.25f);
    table.layer_norm(x.data() + 1, w.data() + 1, b.data() + 1, rows, dim, eps, y.data() + 1,
                     mean.data(), inverse.data());
    table.layer_norm_backward(dy.data() + 1, x.data() + 1, w.data() + 1, mean.data(),
                              inverse.data(), rows, dim, dx.data() + 1, dw.data() + 1,
                              db.data() + 1);
    std::vector<double> want_dw(dim + 1, 0.5), want_db(dim + 1, 0.25);
    for (int r = 0; r < rows; ++r) {
      const float* in = x.data() + 1 + r * dim;
      const float* slope = dy.data() + 1 + r * dim;
      double centre = 0, variance = 0, pull = 0, turn = 0;
      for (int i = 0; i < dim; ++i) centre += double{in[i]} / dim;
      for (int i = 0; i < dim; ++i) variance += (in[i] - centre) * (in[i] - centre) / dim;
      const double s = 1 / std::sqrt(variance + double{eps});
      expect_close(mean[r], centre, 1e-6, 1.0);
      expect_close(inverse[r], s, 1e-5);
      for (int i = 0; i < dim; ++i) {
        const double g = double{slope[i]} * w[1 + i], n = (in[i] - centre) * s;
        pull += g / dim;
        turn += g * n / dim;
        want_dw[1 + i] += slope[i] * n;
        want_db[1 + i] += slope[i];
        expect_close(y[1 + r * dim + i], n * w[1 + i] + b[1 + i], 2e-5, 1.0);
      }
      for (int i = 0; i < dim; ++i) {
        const double g = double{slope[i]} * w[1 + i], n = (in[i] - centre) * s;
        EXPECT_NEAR(dx[1 + r * dim + i], s * (g - pull - n * turn), 2e-5 * (1 + s));
      }
    }
    for (int i = 1; i <= dim; ++i) {
      EXPECT_NEAR(dw[i], want_dw[i], 2e-5);
      EXPECT_NEAR(db[i], want_db[i], 2e-5);
    }
  });
}

// Both forms of the activation and their slopes, against the C library; far out they are 0 and x.
TEST(RowwiseTest, GeluAndItsGradientMatchTheFormula) {
  for_each_case([](const KernelTable& table, int n) {
    const auto x = spread(n + 1, 31, 8.0f), dh = random_floats(n + 1, 32);
    std::vector<float> h(n + 1), dx(n + 1);
    for (const Activation kind : {Activation::kGelu, Activation::kGeluTanh}) {
      table.activate(kind, x.data() + 1, n, h.data() + 1);
      table.activate_backward(kind, dh.data() + 1, x.data() + 1, n, dx.data() + 1);
      for (int i = 1; i <= n; ++i) {
        const double v = x[i], rate = std::sqrt(2 / M_PI);
        double below = 0.5 * std::erfc(-v / std::sqrt(2.0));
        double slope = below + v * std::exp(-v * v / 2) / std::sqrt(2 * M_PI);
        if (kind == Activation::kGeluTanh) {
          const double t = std::tanh(rate * (v + 0.044715 * v * v * v));
          below = 0.5 * (1 + t);
          slope = below + 0.5 * v * (1 - t * t) * rate * (1 + 3 * 0.044715 * v * v);
        }
        EXPECT_NEAR(h[i], v * below, 5e-7 * (1 + std::fabs(v)));
        EXPECT_NEAR(dx[i], dh[i] * slope, 1e-6 * std::fabs(double{dh[i]}) * (1 + std::fabs(v)));
      }
    }
  });
  for (const NamedTable& named : tables_under_test()) {
    const float x[] = {-1000.0f, 1000.0f};
    float h[2];
    for (const Activation kind : {Activation::kGelu, Activation::kGeluTanh}) {
      named.table.activate(kind, x, 2, h);
      EXPECT_EQ(h[0], 0.0f);
      EXPECT_EQ(h[1], 1000.0f);
    }
  }
}

TEST(RowwiseTest, SiluTimesUpAndItsGradientMatchTheFormula) {
  for_each_case([](const KernelTable& table, int n) {
    const auto g = spread(n + 1, 11, 12.0f), u = random_floats(n + 1, 12);
    const auto dh = random_floats(n + 1, 13);
    std::vector<float> h(n + 1), dg(n + 1), du(n + 1);
    table.silu_mul(g.data() + 1, u.data() + 1, n, h.data() + 1);
    table.silu_mul_backward(dh.data() + 1, g.data() + 1, u.data() + 1, n, dg.data() + 1,
                            du.data() + 1);
    for (int i = 1; i <= n; ++i) {
      const double x = g[i], s = sigmoid(x), d = dh[i];
      expect_close(h[i], x * s * u[i], 2e-6);
      expect_close(du[i], d * x * s, 2e-6);
      expect_close(dg[i], d * u[i] * (s + x * s * (1 - s)), 4e-6, std::fabs(d * u[i]) * 0.1);
    }
  });
  for (const NamedTable& named : tables_under_test()) {
    const float g[] = {-1000.0f, 1000.0f}, u[] = {1.0f, 1.0f};
    float h[2];
    named.table.silu_mul(g, u, 2, h);
    EXPECT_EQ(h[0], 0.0f);
    EXPECT_EQ(h[1], 1000.0f);
  }
}

TEST(RowwiseTest, RopeOfNeighboursTurnsThemAndLeavesTheRest) {
  for_each_case([](const KernelTable& table, int half) {
    const int rows = 2, heads = 3, rotated = 2 * half, head_dim = rotated + 3;
    const int64_t ld = heads * head_dim + 2;
    const auto before = random_floats(rows * ld, 41), angles = random_floats(rows * half, 42);
    std::vector<float> cosine, sine, x = before;
    for (float angle : angles) {
      cosine.push_back(std::cos(angle));
      sine.push_back(std::sin(angle));
    }
    const RopeLayout layout{ld, rows, heads, head_dim, rotated, true};
    table.rope(x.data(), layout, cosine.data(), sine.data(), false);
    std::vector<double> want(before.begin(), before.end());
    for (int at = 0; at < rows * heads * half; ++at) {
      const int r = at / (heads * half), head = at / half % heads, i = at % half;
      const int64_t first = r * ld + head * head_dim + 2 * i;
      const double a = before[first], b = before[first + 1];
      const double c = cosine[r * half + i], s = sine[r * half + i];
      want[first] = a * c - b * s;
      want[first + 1] = b * c + a * s;
    }
    for (size_t i = 0; i < x.size(); ++i) expect_close(x[i], want[i], 2e-7, 1.0);
    table.rope(x.data(), layout, cosine.data(), sine.data(), true);
    for (size_t i = 0; i < x.size(); ++i) expect_close(x[i], before[i], 5e-7, 1.0);
  });
}

TEST(RowwiseTest, RopeRotatesPairsAndBack) {
  for_each_case([](const KernelTable& table, int half) {
    const int rows = 3, heads = 2, dim = 2 * half;
    const int64_t ld = heads * dim + 5;
    const auto before = random_floats(1 + rows * ld, 14), angles = random_floats(rows * half, 15);
    std::vector<float> cosine, sine, x = before;
    for (float angle : angles) {
      cosine.push_back(std::cos(3.0f * angle));
      sine.push_back(std::sin(3.0f * angle));
    }
    table.rope(x.data() + 1, {ld, rows, heads, dim, dim}, cosine.data(), sine.data(), false);
    for (int r = 0; r < rows; ++r) {
      for (int head = 0; head < heads; ++head) {
        for (int i = 0; i < half; ++i) {
          const int64_t at = 1 + r * ld + head * dim + i;
          const double a = before[at], b = before[at + half];
          const double c = cosine[r * half + i], s = sine[r * half + i];
          expect_close(x[at], a * c - b * s, 2e-7, 1.0);
          expect_close(x[at + half], b * c + a * s, 2e-7, 1.0);
        }
      }
    }
    table.rope(x.data() + 1, {ld, rows, heads, dim, dim}, cosine.data(), sine.data(), true);
    for (size_t i = 0; i < x.size(); ++i) expect_close(x[i], before[i], 5e-7, 1.0);
    EXPECT_EQ(x[0], before[0]);
    for (int r = 0; r + 1 < rows; ++r) {
      for (int64_t i = heads * dim; i < ld; ++i)
        EXPECT_EQ(x[1 + r * ld + i], before[1 + r * ld + i]);
    }
  });
}

TEST(RowwiseTest, TransposeIsExact) {
  for (const NamedTable& named : tables_under_test()) {
    for (int rows : {1, 3, 4, 7, 8, 16, 33}) {
      for (int cols : {1, 2, 5, 8, 15, 17, 40}) {
        const int64_t ld_in = cols + 2, ld_out = rows + 1;
        const auto in = random_floats((rows - 1) * ld_in + cols, 16);
        std::vector<float> out(cols * ld_out, 7.0f);
        named.table.transpose(in.data(), ld_in, rows, cols, out.data(), ld_out);
        for (int c = 0; c < cols; ++c) {
          for (int r = 0; r < rows; ++r) ASSERT_EQ(out[c * ld_out + r], in[r * ld_in + c]);
          ASSERT_EQ(out[c * ld_out + rows], 7.0f);
        }
      }
    }
  }
}

TEST(RowwiseTest, Bf16RoundsToNearestEven) {
  // Every upper half, with the lower halves around the tie.
  std::vector<float> in;
  for (uint32_t upper = 0; upper < 0x10000u; ++upper) {
    for (uint32_t lower : {0x0000u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const uint32_t word = upper << 16 | lower;
      float x;
      std::memcpy(&x, &word, sizeof x);
      in.push_back(x);
    }
  }
  for (const NamedTable& named : tables_under_test()) {
    std::vector<uint16_t> out(in.size());
    named.table.to_bf16(in.data(), static_cast<int64_t>(in.size()), out.data());
    for (size_t i = 0; i < in.size(); ++i) {
      if (std::isnan(in[i])) {
        ASSERT_TRUE(std::isnan(float_of(out[i]))) << named.name << " " << i;
      } else {
        ASSERT_EQ(out[i], bf16_of(in[i])) << named.name << " " << in[i];
      }
    }
  }
}

TEST(RowwiseTest, Bf16ConversionsCoverEveryTail) {
  for_each_case([](const KernelTable& table, int n) {
    const auto x = random_floats(n + 1, 17);
    std::vector<uint16_t> half(n + 2, 77);
    std::vector<float> back(n + 2, 9.0f);
    table.to_bf16(x.data() + 1, n, half.data() + 1);
    table.from_bf16(half.data() + 1, n, back.data() + 1);
    for (int i = 1; i <= n; ++i) {
      EXPECT_EQ(half[i], bf16_of(x[i]));
      EXPECT_EQ(back[i], float_of(half[i]));
    }
    EXPECT_EQ(half[n + 1], 77);
    EXPECT_EQ(back[n + 1], 9.0f);
  });
}

TEST(RowwiseTest, AdamWStepMatchesTheFormula) {
  for_each_case([](const KernelTable& table, int n) {
    const AdamW step{1e-2f, 0.9f, 0.95f, 1e-8f, 0.1f, 1 - 0.9f * 0.9f, 1 - 0.95f * 0.95f, 0.25f};
    const auto g = random_floats(n + 1, 18), w0 = random_floats(n + 1, 19);
    auto m0 = spread(n + 1, 20, 0.1f), v0 = spread(n + 1, 21, 0.1f);
    for (float& v : v0) v = std::fabs(v);
    auto w = w0, m = m0, v = v0;
    table.adamw(step, g.data() + 1, n, w.data() + 1, m.data() + 1, v.data() + 1);
    for (int i = 1; i <= n; ++i) {
      const double grad = 0.25 * g[i];
      const double beta1 = 0.9f, beta2 = 0.95f, lr = 1e-2f;
      const double first = beta1 * m0[i] + (1 - beta1) * grad;
      const double second = beta2 * v0[i] + (1 - beta2) * grad * grad;
      const double change =
          first / step.bias1 / (std::sqrt(second / step.bias2) + static_cast<double>(1e-8f));
      expect_close(m[i], first, 1e-6, 0.1);
      expect_close(v[i], second, 1e-6, 0.1);
      expect_close(w[i], w0[i] - lr * (change + static_cast<double>(0.1f) * w0[i]), 1e-6, 1.0);
    }
    EXPECT_EQ(w[0], w0[0]);
  });
}

}  // namespace
}  // namespace alambic::kernels
