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

void expect_rows(const KvCache& cache, int layer, int rows) {
  const CachedKeys cached = cache.keys(layer);
  ASSERT_EQ(cached.rows, rows);
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < kWidth; ++c) {
      const auto want = static_cast<float>(layer * 1000 + r * 10 + c);
      ASSERT_EQ(cached.keys[c * cached.stride + r], want) << "key column " << r;
      ASSERT_EQ(cached.values[r * kWidth + c], -want) << "value row " << r;
    }
  }
}

TEST(KvCache, KeepsCommittedRowsWhileItGrows) {
  KvCache cache(2, kHeads, kDim);
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

TEST(KvCache, KeepsOnlyTheRowsThatWereAccepted) {
  KvCache cache(1, kHeads, kDim);
  stage(cache, 0, 5, 1);
  cache.commit(2);
  EXPECT_EQ(cache.length(), 2);
  stage(cache, 2, 60, 1);  // over the rejected rows, and beyond the capacity
  cache.commit(60);
  expect_rows(cache, 0, 62);
}

TEST(KvCache, ForgetsWhatIsTruncated) {
  KvCache cache(1, kHeads, kDim);
  stage(cache, 0, 20, 1);
  cache.commit(20);
  cache.truncate(7);
  expect_rows(cache, 0, 7);
  stage(cache, 7, 4, 1);
  cache.commit(4);
  expect_rows(cache, 0, 11);
  EXPECT_GT(cache.bytes(), 0);
}

}  // namespace
}  // namespace alambic
