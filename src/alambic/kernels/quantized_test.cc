// Quantised products against exact integer sums and the formula of quantized.h in the same order of
// roundings, so the tolerance is zero.
#include "alambic/kernels/quantized.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "alambic/kernels/test_tables.h"

namespace alambic::kernels {
namespace {

constexpr WeightFormat kFormats[] = {WeightFormat::kInt8, WeightFormat::kInt4};

// Weights by row and column, and the panels that hold them.
struct Weights {
  WeightFormat format;
  int n, k, groups;
  std::vector<int> values;  // [n, groups * group size]
  std::vector<std::byte> bytes;
  std::vector<uint16_t> scales;
  std::vector<uint8_t> zeros;

  int value(int column, int p) const {
    return values[static_cast<size_t>(column * groups * group_size(format) + p)];
  }
  size_t beside(int column, int group) const {
    return static_cast<size_t>((column / 16 * groups + group) * 16 + column % 16);
  }
  WeightPanels view() const { return {bytes.data(), scales.data(), zeros.data()}; }
};

// `extreme` takes only the largest magnitudes, which is where a narrow sum would overflow.
Weights random_weights(WeightFormat format, int n, int k, bool extreme, uint64_t seed) {
  const int group = group_size(format), groups = (k + group - 1) / group;
  const int panels = (n + 15) / 16;
  Weights w{format,
            n,
            k,
            groups,
            std::vector<int>(static_cast<size_t>(n * groups * group)),
            std::vector<std::byte>(static_cast<size_t>(panels * groups * group_bytes(format))),
            std::vector<uint16_t>(static_cast<size_t>(panels * groups * 16)),
            std::vector<uint8_t>(static_cast<size_t>(panels * groups * 16))};
  Rng rng(seed);
  for (uint16_t& s : w.scales) s = bf16_of(static_cast<float>(0.001 + 0.01 * rng.uniform()));
  if (format == WeightFormat::kInt4) {
    for (uint8_t& z : w.zeros) z = static_cast<uint8_t>(rng.below(16));
  }
  for (int c = 0; c < n; ++c) {
    for (int p = 0; p < k; ++p) {
      const bool high = rng.below(2) == 1;
      int q;
      size_t at;  // step of 4 k, then column, then k % 4
      if (format == WeightFormat::kInt8) {
        q = extreme ? (high ? 127 : -127) : static_cast<int>(rng.below(255)) - 127;
        at = static_cast<size_t>(c / 16) * groups * group * 16 + static_cast<size_t>(p / 4) * 64 +
             static_cast<size_t>(c % 16 * 4 + p % 4);
        w.bytes[at] = static_cast<std::byte>(q);
      } else {
        q = extreme ? (high ? 15 : 0) : static_cast<int>(rng.below(16));
        at = static_cast<size_t>(c / 16) * groups * group * 8 + static_cast<size_t>(p / 8) * 64 +
             static_cast<size_t>(c % 16 * 4 + p % 4);
        w.bytes[at] |= static_cast<std::byte>(p / 4 % 2 == 0 ? q : q << 4);
      }
      w.values[static_cast<size_t>(c * groups * group + p)] = q;
    }
  }
  return w;
}

struct Rows {
  std::vector<int8_t> values;
  std::vector<float> scales;
  std::vector<int32_t> sums;
  int groups;
  Int8Rows view(int first = 0) const {
    const size_t per_row = values.size() / (scales.size() / static_cast<size_t>(groups));
    const auto skip = static_cast<size_t>(first);
    return {values.data() + skip * per_row, scales.data() + skip * static_cast<size_t>(groups),
            sums.data() + skip * static_cast<size_t>(groups), groups};
  }
};

Rows quantized(const KernelTable& table, const std::vector<float>& x, int m, int k, int group) {
  const int groups = (k + group - 1) / group;
  Rows rows{std::vector<int8_t>(static_cast<size_t>(m * groups * group), 99),
            std::vector<float>(static_cast<size_t>(m * groups)),
            std::vector<int32_t>(static_cast<size_t>(m * groups)), groups};
  table.quantize_rows(x.data(), k, m, k, group, rows.values.data(), rows.scales.data(),
                      rows.sums.data());
  return rows;
}

std::vector<float> multiplied(const KernelTable& table, const Rows& a, int first, int m,
                              const Weights& w) {
  std::vector<float> c(static_cast<size_t>(m * w.n));
  table.multiply_quantized[static_cast<int>(w.format)](a.view(first), w.view(), m, w.n, c.data(),
                                                       w.n);
  return c;
}

TEST(QuantizedTest, RowsAreTheNearestMultiplesOfTheirScale) {
  for (const NamedTable& named : tables_under_test()) {
    for (const int group : {32, 64}) {
      for (const int k : {1, 31, 64, 100, 257}) {
        const int m = 3;
        const auto x = random_floats(static_cast<size_t>(m * k), 5);
        const Rows rows = quantized(named.table, x, m, k, group);
        for (int r = 0; r < m; ++r) {
          for (int g = 0; g < rows.groups; ++g) {
            float most = 0;
            int sum = 0;
            for (int p = g * group; p < std::min(k, (g + 1) * group); ++p)
              most = std::max(most, std::fabs(x[static_cast<size_t>(r * k + p)]));
            ASSERT_EQ(rows.scales[static_cast<size_t>(r * rows.groups + g)], most / 127.0f);
            for (int p = g * group; p < (g + 1) * group; ++p) {
              const int q = rows.values[static_cast<size_t>(r * rows.groups * group + p)];
              const float want =
                  p < k ? std::nearbyint(x[static_cast<size_t>(r * k + p)] * (127.0f / most)) : 0;
              ASSERT_EQ(static_cast<float>(q), want) << named.name << " k " << k << " p " << p;
              sum += q;
            }
            ASSERT_EQ(rows.sums[static_cast<size_t>(r * rows.groups + g)], sum);
          }
        }
      }
    }
  }
}

TEST(QuantizedTest, EmptyAndTinyGroupsAreZeroAndBadNumbersStayVisible) {
  for (const NamedTable& named : tables_under_test()) {
    std::vector<float> x(4 * 64, 0.0f);
    x[64] = 1e-38f;
    x[2 * 64 + 5] = std::numeric_limits<float>::infinity();
    x[3 * 64 + 9] = std::nanf("");
    const Rows rows = quantized(named.table, x, 4, 64, 64);
    EXPECT_EQ(rows.scales[0], 0.0f);
    EXPECT_EQ(rows.scales[1], 0.0f);
    EXPECT_TRUE(std::isnan(rows.scales[2])) << named.name;
    EXPECT_TRUE(std::isnan(rows.scales[3])) << named.name;
    for (const int8_t v : rows.values) ASSERT_EQ(v, 0) << named.name;
  }
}

TEST(QuantizedTest, ProductsEqualTheFormulaBitForBit) {
  for (const NamedTable& named : tables_under_test()) {
    for (const WeightFormat format : kFormats) {
      for (const bool extreme : {false, true}) {
        for (const int k : {1, 33, 64, 200}) {
          for (const int n : {1, 7, 8, 9, 15, 16, 17, 45}) {
            // Now and then many rows, which some tables multiply in another way.
            const int m = (n + k) % 4 == 0 ? 40 : 1 + (n + k) % 6, group = group_size(format);
            auto x = random_floats(static_cast<size_t>(m * k), 7);
            if (extreme) {
              for (float& v : x) v = v < 0 ? -1.0f : 1.0f;
            }
            const Weights w = random_weights(format, n, k, extreme, 9);
            const Rows a = quantized(named.table, x, m, k, group);
            const std::vector<float> got = multiplied(named.table, a, 0, m, w);
            for (int r = 0; r < m; ++r) {
              for (int c = 0; c < n; ++c) {
                float want = 0;
                for (int g = 0; g < w.groups; ++g) {
                  int64_t sum = 0;
                  for (int p = g * group; p < (g + 1) * group; ++p) {
                    const int zero = format == WeightFormat::kInt4 ? w.zeros[w.beside(c, g)] : 0;
                    sum += int64_t{a.values[static_cast<size_t>(r * w.groups * group + p)]} *
                           (w.value(c, p) - zero);
                  }
                  const volatile float scale = a.scales[static_cast<size_t>(r * w.groups + g)] *
                                               float_of(w.scales[w.beside(c, g)]);
                  const volatile float term = static_cast<float>(sum) * scale;
                  want += term;
                }
                ASSERT_EQ(got[static_cast<size_t>(r * n + c)], want)
                    << named.name << " format " << static_cast<int>(format) << " m " << m << " n "
                    << n << " k " << k << " row " << r << " column " << c;
              }
            }
          }
        }
      }
    }
  }
}

TEST(QuantizedTest, NothingIsWrittenBesideTheColumns) {
  for (const NamedTable& named : tables_under_test()) {
    for (const WeightFormat format : kFormats) {
      for (const int n : {1, 8, 13, 16, 29}) {
        const int m = n == 8 ? 5 : 40, k = 40, ldc = n + 3;
        const Weights w = random_weights(format, n, k, false, 3);
        const Rows a = quantized(named.table, random_floats(m * k, 1), m, k, group_size(format));
        std::vector<float> c(static_cast<size_t>(m * ldc), 42.0f);
        named.table.multiply_quantized[static_cast<int>(format)](a.view(), w.view(), m, n, c.data(),
                                                                 ldc);
        for (int r = 0; r < m; ++r) {
          for (int i = n; i < ldc; ++i) ASSERT_EQ(c[static_cast<size_t>(r * ldc + i)], 42.0f);
        }
      }
    }
  }
}

TEST(QuantizedTest, RowsDoNotDependOnTheirNeighbours) {
  const int most = 64, n = 35, k = 150;
  const auto x = random_floats(most * k, 11);
  for (const NamedTable& named : tables_under_test()) {
    for (const WeightFormat format : kFormats) {
      const Weights w = random_weights(format, n, k, false, 12);
      const Rows all = quantized(named.table, x, most, k, group_size(format));
      std::vector<float> alone;
      for (int r = 0; r < most; ++r) {
        const std::vector<float> own(x.begin() + r * k, x.begin() + (r + 1) * k);
        const auto c =
            multiplied(named.table, quantized(named.table, own, 1, k, group_size(format)), 0, 1, w);
        alone.insert(alone.end(), c.begin(), c.end());
      }
      for (int batch = 1; batch <= most; ++batch) {
        // The batch ends with the last row, so that a row meets every position of a tile.
        const int first = most - batch;
        const auto together = multiplied(named.table, all, first, batch, w);
        ASSERT_EQ(0, std::memcmp(together.data(), alone.data() + first * n,
                                 together.size() * sizeof(float)))
            << named.name << " format " << static_cast<int>(format) << " batch " << batch;
      }
    }
  }
}

}  // namespace
}  // namespace alambic::kernels
