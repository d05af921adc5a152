// Products against sums in double precision. Tolerance everywhere: the standard bound of a chain of
// k roundings, (k + 4) 2^-24 sum |a b|, plus the smallest normal.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "alambic/kernels/test_tables.h"

namespace alambic::kernels {
namespace {

// A matrix of known values in a layout of choice, one element off any alignment.
struct Stored {
  std::vector<float> floats;
  std::vector<uint16_t> halves;
  Matrix matrix;
  double at(int r, int c) const {
    const int64_t i = 1 + r * matrix.row_stride + c * matrix.col_stride;
    return matrix.element == Element::kF32 ? floats[i] : float_of(halves[i]);
  }
};

void fill(Stored& stored, int rows, int cols, bool transposed, int padding, Element element,
          uint64_t seed) {
  stored.matrix.element = element;
  stored.matrix.row_stride = transposed ? 1 : cols + padding;
  stored.matrix.col_stride = transposed ? rows + padding : 1;
  const size_t last = rows == 0 || cols == 0 ? 0
                                             : (rows - 1) * stored.matrix.row_stride +
                                                   (cols - 1) * stored.matrix.col_stride + 1;
  stored.floats = random_floats(1 + last, seed);
  if (element == Element::kBf16) {
    for (float x : stored.floats) stored.halves.push_back(bf16_of(x));
    stored.matrix.data = stored.halves.data() + 1;
  } else {
    stored.matrix.data = stored.floats.data() + 1;
  }
}

std::vector<std::byte> packed_a(const Gemm& gemm, const Matrix& a, int m, int k) {
  std::vector<std::byte> panels((m + gemm.mr - 1) / gemm.mr * gemm.panel_bytes_a(k));
  gemm.pack_a(a, m, k, panels.data());
  return panels;
}

std::vector<std::byte> packed_b(const Gemm& gemm, const Matrix& b, int k, int n) {
  std::vector<std::byte> panels((n + gemm.nr - 1) / gemm.nr * gemm.panel_bytes_b(k));
  gemm.pack_b(b, k, n, panels.data());
  return panels;
}

double rounded(double x, Precision precision) {
  return precision == Precision::kBf16 ? float_of(bf16_of(static_cast<float>(x))) : x;
}

struct Case {
  int m, n, k;
  bool a_transposed, b_transposed;
  Element element;
  bool accumulate;
};

void check_product(const NamedTable& named, Precision precision, const Case& it) {
  SCOPED_TRACE(::testing::Message() << named.name << " precision " << static_cast<int>(precision)
                                    << " m " << it.m << " n " << it.n << " k " << it.k << " ta "
                                    << it.a_transposed << " tb " << it.b_transposed << " bf16 "
                                    << (it.element == Element::kBf16) << " acc " << it.accumulate);
  const Gemm& gemm = named.table.gemm[static_cast<int>(precision)];
  Stored a, b;
  fill(a, it.m, it.k, it.a_transposed, 3, it.element, 1);
  fill(b, it.k, it.n, it.b_transposed, 5, it.element, 2);
  const int64_t ldc = it.n + 3;
  const std::vector<float> before = random_floats(it.m * ldc + 1, 3);
  std::vector<float> c = before;
  const auto panels_a = packed_a(gemm, a.matrix, it.m, it.k);
  const auto panels_b = packed_b(gemm, b.matrix, it.k, it.n);
  gemm.multiply(panels_a.data(), panels_b.data(), it.m, it.n, it.k, c.data() + 1, ldc,
                it.accumulate);
  for (int r = 0; r < it.m; ++r) {
    for (int col = 0; col < ldc; ++col) {
      const float got = c[1 + r * ldc + col], old = before[1 + r * ldc + col];
      if (col >= it.n) {
        ASSERT_EQ(got, old) << "wrote outside C at row " << r << " column " << col;
        continue;
      }
      double want = it.accumulate ? old : 0.0, size = std::fabs(want);
      for (int p = 0; p < it.k; ++p) {
        const double term = rounded(a.at(r, p), precision) * rounded(b.at(p, col), precision);
        want += term;
        size += std::fabs(term);
      }
      const double bound = (it.k + 4) * 0x1p-24 * size + std::numeric_limits<float>::min();
      ASSERT_NEAR(got, want, bound) << "row " << r << " column " << col;
    }
  }
}

constexpr Precision kPrecisions[] = {Precision::kFp32, Precision::kBf16};

TEST(GemmTest, EveryTailAgreesWithSumsInDouble) {
  for (const NamedTable& named : tables_under_test()) {
    for (Precision precision : kPrecisions) {
      for (int m : {1, 2, 3, 5, 7, 13, 14, 15, 33}) {
        for (int n : {1, 7, 8, 9, 16, 17, 31, 33, 65}) {
          check_product(named, precision,
                        {m, n, 37, (m + n) % 2 == 0, (m + n) % 3 == 0, Element::kF32, n % 2 == 0});
        }
      }
    }
  }
}

TEST(GemmTest, EveryDepthAgreesWithSumsInDouble) {
  for (const NamedTable& named : tables_under_test()) {
    for (Precision precision : kPrecisions) {
      for (int k : {1, 2, 3, 4, 7, 31, 32, 33, 63, 64, 65, 384, 385, 801, 2100}) {
        check_product(named, precision, {9, 35, k, false, true, Element::kF32, false});
        check_product(named, precision, {9, 35, k, true, false, Element::kF32, true});
      }
    }
  }
}

TEST(GemmTest, EveryLayoutAndElementAgreesWithSumsInDouble) {
  for (const NamedTable& named : tables_under_test()) {
    for (Precision precision : kPrecisions) {
      for (Element element : {Element::kF32, Element::kBf16}) {
        for (int layout = 0; layout < 4; ++layout) {
          check_product(named, precision,
                        {70, 67, 41, layout % 2 == 1, layout / 2 == 1, element, false});
        }
      }
    }
  }
}

TEST(GemmTest, ManyRowsCrossTheCacheBlocks) {
  for (const NamedTable& named : tables_under_test()) {
    for (Precision precision : kPrecisions) {
      check_product(named, precision, {241, 18, 5, false, true, Element::kF32, false});
    }
  }
}

TEST(GemmTest, PanelsOfBInBf16TakeHalfTheBytes) {
  for (const NamedTable& named : tables_under_test()) {
    const auto& [fp32, bf16] = named.table.gemm;
    EXPECT_EQ(bf16.panel_bytes_b(64), size_t{64} * bf16.nr * sizeof(uint16_t)) << named.name;
    EXPECT_EQ(fp32.panel_bytes_b(64), size_t{64} * fp32.nr * sizeof(float)) << named.name;
  }
}

TEST(GemmTest, EmptySumIsZeroOrWhatWasThere) {
  for (const NamedTable& named : tables_under_test()) {
    for (Precision precision : kPrecisions) {
      check_product(named, precision, {5, 19, 0, false, false, Element::kF32, false});
      check_product(named, precision, {5, 19, 0, false, false, Element::kF32, true});
    }
  }
}

TEST(GemmTest, GeneralStridesAgreeWithSumsInDouble) {
  for (const NamedTable& named : tables_under_test()) {
    for (Precision precision : kPrecisions) {
      const Gemm& gemm = named.table.gemm[static_cast<int>(precision)];
      const int m = 6, n = 20, k = 34;
      const std::vector<float> data = random_floats(20 * 40 * 3, 8);
      const Matrix a{data.data(), Element::kF32, 2 * 40, 2},
          b{data.data(), Element::kF32, 2, 3 * 25};
      std::vector<float> c(m * n);
      gemm.multiply(packed_a(gemm, a, m, k).data(), packed_b(gemm, b, k, n).data(), m, n, k,
                    c.data(), n, false);
      for (int r = 0; r < m; ++r) {
        for (int col = 0; col < n; ++col) {
          double want = 0;
          for (int p = 0; p < k; ++p) {
            want += rounded(data[r * 80 + p * 2], precision) *
                    rounded(data[p * 2 + col * 75], precision);
          }
          ASSERT_NEAR(c[r * n + col], want, (k + 4) * 0x1p-24 * k) << named.name;
        }
      }
    }
  }
}

TEST(GemmTest, PanelsAreIndependent) {
  for (const NamedTable& named : tables_under_test()) {
    for (Precision precision : kPrecisions) {
      const Gemm& gemm = named.table.gemm[static_cast<int>(precision)];
      const int m = 3 * gemm.mr - 1, n = 3 * gemm.nr - 1, k = 45;
      Stored a, b;
      fill(a, m, k, false, 0, Element::kF32, 4);
      fill(b, k, n, false, 0, Element::kF32, 5);
      const auto panels_a = packed_a(gemm, a.matrix, m, k);
      const auto panels_b = packed_b(gemm, b.matrix, k, n);
      std::vector<float> whole(m * n), piece(m * n);
      gemm.multiply(panels_a.data(), panels_b.data(), m, n, k, whole.data(), n, false);
      for (int i = 0; i < m; i += gemm.mr) {
        for (int j = 0; j < n; j += gemm.nr) {
          gemm.multiply(panels_a.data() + i / gemm.mr * gemm.panel_bytes_a(k),
                        panels_b.data() + j / gemm.nr * gemm.panel_bytes_b(k),
                        std::min(gemm.mr, m - i), std::min(gemm.nr, n - j), k,
                        piece.data() + i * n + j, n, false);
        }
      }
      EXPECT_EQ(whole, piece) << named.name;
    }
  }
}

TEST(GemmTest, RowsDoNotDependOnTheirNeighbours) {
  const int most = 65, n = 70, k = 450;
  for (const NamedTable& named : tables_under_test()) {
    for (Precision precision : kPrecisions) {
      const Gemm& gemm = named.table.gemm[static_cast<int>(precision)];
      Stored a, b;
      fill(a, most, k, false, 1, Element::kF32, 6);
      fill(b, k, n, true, 1, Element::kF32, 7);
      const auto panels_b = packed_b(gemm, b.matrix, k, n);
      std::vector<float> alone(most * n);
      const float* rows = static_cast<const float*>(a.matrix.data);
      for (int r = 0; r < most; ++r) {
        const Matrix row{rows + r * a.matrix.row_stride, Element::kF32, a.matrix.row_stride, 1};
        gemm.multiply(packed_a(gemm, row, 1, k).data(), panels_b.data(), 1, n, k,
                      alone.data() + r * n, n, false);
      }
      for (int batch = 2; batch <= most; ++batch) {
        // The batch ends with the last row, so that a row meets every position of a panel.
        const int first = most - batch;
        const Matrix some{rows + first * a.matrix.row_stride, Element::kF32, a.matrix.row_stride,
                          1};
        std::vector<float> together(batch * n);
        gemm.multiply(packed_a(gemm, some, batch, k).data(), panels_b.data(), batch, n, k,
                      together.data(), n, false);
        ASSERT_EQ(0, std::memcmp(together.data(), alone.data() + first * n,
                                 together.size() * sizeof(float)))
            << named.name << " precision " << static_cast<int>(precision) << " batch " << batch;
      }
    }
  }
}

TEST(MatmulSmallTest, AgreesWithSumsInDouble) {
  for (const NamedTable& named : tables_under_test()) {
    for (int m : {1, 3, 6, 7, 16, 33}) {
      for (int n : {1, 7, 8, 9, 15, 17, 32, 33, 64, 70}) {
        for (int k : {0, 1, 5, 64}) {
          for (bool transposed : {false, true}) {
            const int64_t a_row = transposed ? 1 : k + 2, a_col = transposed ? m + 2 : 1;
            const int64_t ldb = n + 3, ldc = n + 1;
            const auto a = random_floats(1 + (m + 2) * (k + 2), 11);
            // Exactly as long as the contract allows reading.
            const auto b = random_floats(k == 0 ? 0 : (k - 1) * ldb + n, 12);
            const auto before = random_floats(m * ldc, 13);
            for (bool accumulate : {false, true}) {
              auto c = before;
              named.table.matmul_small(a.data() + 1, a_row, a_col, b.data(), ldb, m, n, k, c.data(),
                                       ldc, accumulate);
              for (int r = 0; r < m; ++r) {
                ASSERT_EQ(c[r * ldc + n], before[r * ldc + n]);
                for (int col = 0; col < n; ++col) {
                  double want = accumulate ? before[r * ldc + col] : 0.0;
                  double size = std::fabs(want);
                  for (int p = 0; p < k; ++p) {
                    const double term = static_cast<double>(a[1 + r * a_row + p * a_col]) *
                                        static_cast<double>(b[p * ldb + col]);
                    want += term;
                    size += std::fabs(term);
                  }
                  ASSERT_NEAR(c[r * ldc + col], want, (k + 4) * 0x1p-24 * size)
                      << named.name << " m " << m << " n " << n << " k " << k;
                }
              }
            }
          }
        }
      }
    }
  }
}

TEST(MatmulSmallTest, RowsDoNotDependOnTheirNeighbours) {
  const int m = 33, n = 41, k = 64;
  const auto a = random_floats(m * k, 21), b = random_floats(k * n, 22);
  for (const NamedTable& named : tables_under_test()) {
    std::vector<float> together(m * n), alone(m * n);
    named.table.matmul_small(a.data(), k, 1, b.data(), n, m, n, k, together.data(), n, false);
    for (int r = 0; r < m; ++r) {
      named.table.matmul_small(a.data() + r * k, k, 1, b.data(), n, 1, n, k, alone.data() + r * n,
                               n, false);
    }
    EXPECT_EQ(together, alone) << named.name;
  }
}

// Ranges with their own end, so that a sanitiser sees any read behind the last element.
TEST(MatmulSmallBf16Test, HasTheBitsOfTheWidenedProduct) {
  for (const NamedTable& named : tables_under_test()) {
    for (int m : {1, 2, 3, 4, 5, 9, 33}) {
      for (int n : {1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 65, 100, 129, 256}) {
        for (int k : {0, 1, 5, 64}) {
          for (bool transposed : {false, true}) {
            const int64_t a_row = transposed ? 1 : k + 2, a_col = transposed ? m + 2 : 1;
            const int64_t ldb = n + 3, ldc = n + 1;
            const auto a = random_floats(1 + (m + 2) * (k + 2), 31);
            std::vector<uint16_t> b;
            std::vector<float> widened;
            for (float x : random_floats(k == 0 ? 0 : (k - 1) * ldb + n, 32)) {
              b.push_back(bf16_of(x));
              widened.push_back(float_of(b.back()));
            }
            b.shrink_to_fit();
            const auto before = random_floats(m * ldc, 33);
            for (bool accumulate : {false, true}) {
              auto got = before, want = before;
              named.table.matmul_small_bf16(a.data() + 1, a_row, a_col, b.data(), ldb, m, n, k,
                                            got.data(), ldc, accumulate);
              named.table.matmul_small(a.data() + 1, a_row, a_col, widened.data(), ldb, m, n, k,
                                       want.data(), ldc, accumulate);
              ASSERT_EQ(0, std::memcmp(got.data(), want.data(), got.size() * sizeof(float)))
                  << named.name << " m " << m << " n " << n << " k " << k;
            }
          }
        }
      }
    }
  }
}

TEST(MatmulSmallTest, RowsAndColumnsDoNotDependOnTheirNeighbours) {
  const int m = 9, n = 161, k = 48;
  const auto a = random_floats(m * k, 41), b = random_floats(k * n, 42);
  for (const NamedTable& named : tables_under_test()) {
    std::vector<float> whole(m * n), piece(m * n);
    named.table.matmul_small(a.data(), k, 1, b.data(), n, m, n, k, whole.data(), n, false);
    for (int rows = 1; rows <= 4; ++rows) {
      for (int r = 0; r < m; r += rows) {
        for (int j = 0; j < n; j += 23) {
          named.table.matmul_small(a.data() + r * k, k, 1, b.data() + j, n, std::min(rows, m - r),
                                   std::min(23, n - j), k, piece.data() + r * n + j, n, false);
        }
      }
      EXPECT_EQ(whole, piece) << named.name << " rows " << rows;
    }
  }
}

}  // namespace
}  // namespace alambic::kernels
