#include "alambic/nn/kv_cache.h"

#include <gtest/gtest.h>

#include <vector>

namespace alambic {
namespace {

constexpr int kHeads = 2, kDim = 4, kWidth = kHeads * kDim;

// Row r of a layer holds layer * 1000 + r * 10 + column; values are negative.
void stage(KvCache& cache, int first, int rows, int layers) {
  for (int layer = 0; layer < layers; ++layer) {
    std::vector<float> keys, values;
    for (int r = first; r < first + rows; ++r) {
      for (int c = 0; c < kWidth; ++c) {
        keys.push_back(static_cast<float>(layer * 1000 + r * 10 + c));
        values.push_back(-keys.back());
      }
    }
    cache.stage(layer, keys.data(), values.data(), kWidth, rows);
  }
}

// Element `i` of a cache of either kind; bf16 rounds to nearest even, 8 bits of it.
float element(const CachedKeys& cached, const std::byte* data, int64_t i) {
  if (cached.element == kernels::Element::kF32) return reinterpret_cast<const float*>(data)[i];
  float wide = 0;
  kernels::kernels().from_bf16(reinterpret_cast<const uint16_t*>(data) + i, 1, &wide);
  return wide;
}

void expect_rows(const KvCache& cache, int layer, int rows) {
  const CachedKeys cached = cache.keys(layer);
  const double exact = cached.element == kernels::Element::kF32 ? 0 : 1.0 / 256;
  ASSERT_EQ(cached.rows, rows);
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < kWidth; ++c) {
      const auto want = static_cast<float>(layer * 1000 + r * 10 + c);
      ASSERT_NEAR(element(cached, cached.keys, c * cached.stride + r), want, exact * want);
      ASSERT_NEAR(element(cached, cached.values, r * kWidth + c), -want, exact * want);
    }
  }
}

class KvCaches : public testing::TestWithParam<kernels::Precision> {};

TEST_P(KvCaches, KeepsCommittedRowsWhileItGrows) {
  KvCache cache(2, kHeads, kDim, GetParam());
  int length = 0;
  for (const int rows : {1, 47, 1, 100, 3, 300}) {
    stage(cache, length, rows, 2);
    cache.commit(rows);
    length += rows;
    expect_rows(cache, 0, length);
    expect_rows(cache, 1, length);
  }
  EXPECT_EQ(cache.length(), length);
}

TEST_P(KvCaches, KeepsOnlyTheRowsThatWereAccepted) {
  KvCache cache(1, kHeads, kDim, GetParam());
  stage(cache, 0, 5, 1);
  cache.commit(2);
  EXPECT_EQ(cache.length(), 2);
  stage(cache, 2, 60, 1);  // over the rejected rows, and beyond the capacity
  cache.commit(60);
  expect_rows(cache, 0, 62);
}

TEST_P(KvCaches, ForgetsWhatIsTruncated) {
  KvCache cache(1, kHeads, kDim, GetParam());
  stage(cache, 0, 20, 1);
  cache.commit(20);
  cache.truncate(7);
  expect_rows(cache, 0, 7);
  stage(cache, 7, 4, 1);
  cache.commit(4);
  expect_rows(cache, 0, 11);
  EXPECT_GT(cache.bytes(), 0);
}

TEST_P(KvCaches, CopiesThePrefixThatItIsGiven) {
  KvCache prefix(2, kHeads, kDim, GetParam()), other(2, kHeads, kDim, GetParam());
  stage(prefix, 0, 130, 2);
  prefix.commit(130);
  stage(other, 500, 3, 2);
  other.commit(3);
  other.copy_from(prefix, 70);
  expect_rows(other, 0, 70);
  stage(other, 70, 30, 2);
  other.commit(30);
  expect_rows(other, 1, 100);
  expect_rows(prefix, 1, 130);
}

TEST(KvCache, GrowsNoFurtherThanExpected) {
  KvCache cache(1, kHeads, kDim, kernels::Precision::kFp32);
  cache.expect(150);
  stage(cache, 0, 60, 1);
  cache.commit(60);
  for (int r = 60; r < 150; ++r) {
    stage(cache, r, 1, 1);
    cache.commit(1);
  }
  EXPECT_EQ(cache.keys(0).stride, KvCache::capacity_after(60, 150, 150));
  EXPECT_LE(cache.keys(0).stride, 176);
  stage(cache, 150, 40, 1);  // more came after all
  cache.commit(40);
  expect_rows(cache, 0, 190);
}

TEST(KvCache, TakesHalfTheRoomInBf16) {
  KvCache wide(1, kHeads, kDim, kernels::Precision::kFp32),
      half(1, kHeads, kDim, kernels::Precision::kBf16);
  stage(wide, 0, 40, 1);
  stage(half, 0, 40, 1);
  EXPECT_EQ(wide.bytes(), 2 * half.bytes());
}

INSTANTIATE_TEST_SUITE_P(Precisions, KvCaches,
                         testing::Values(kernels::Precision::kFp32, kernels::Precision::kBf16),
                         [](const auto& test) {
                           return test.param == kernels::Precision::kFp32 ? "fp32" : "bf16";
                         });

}  // namespace
}  // namespace alambic
