#include "alambic/tensor/row_summary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "alambic/base/rng.h"
#include "alambic/base/thread_pool.h"

namespace alambic {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

Tensor random_rows(Shape shape, uint64_t seed) {
  Tensor t = Tensor::empty(std::move(shape));
  Rng rng(seed);
  for (float& x : t.values()) x = static_cast<float>(3 * rng.normal());
  return t;
}

TEST(RowSummary, EqualsTheRowsMaximumAndSumOfExponentials) {
  for (const int64_t count : {1, 31, 1023, 1024, 1025, 5000}) {
    const Tensor row = random_rows({1, count}, static_cast<uint64_t>(count));
    int64_t best = 0;
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) {
      sum += std::exp(double{row.data()[i]});
      if (row.data()[i] > row.data()[best]) best = i;
    }
    const RowSummary summary = summarise(row.data(), {count});
    EXPECT_EQ(summary.best, best);
    EXPECT_EQ(summary.top, row.data()[best]);
    EXPECT_NEAR(summary.log_sum(), std::log(sum), 1e-6) << count;
  }
}

TEST(RowSummary, TheLowestOfEqualColumnsIsTheBest) {
  std::vector<float> row(4000, 1.0F);
  row[1500] = row[1501] = row[3900] = 2.0F;
  EXPECT_EQ(summarise(row.data(), {4000}).best, 1500);
}

TEST(RowSummary, AnExcludedColumnCountsForNothing) {
  for (const int64_t excluded : {0, 700, 1024, 1025}) {
    Tensor row = random_rows({1, 1026}, 5);
    row.data()[excluded] = 50;
    const RowSummary summary = summarise(row.data(), {1026, excluded});
    row.data()[excluded] = kNone;
    const RowSummary want = summarise(row.data(), {1026});
    EXPECT_EQ(summary.best, want.best);
    EXPECT_EQ(summary.sum, want.sum);
    EXPECT_TRUE(summary.finite());
  }
}

// 1,024 is a block of its own there.
TEST(RowSummary, ABlockWithNothingThatCountsChangesNothing) {
  const Tensor row = random_rows({1, 1025}, 6);
  const RowSummary all = summarise(row.data(), {1025, 1024}), first = summarise(row.data(), {1024});
  EXPECT_EQ(all.best, first.best);
  EXPECT_EQ(all.sum, first.sum);
}

TEST(RowSummary, ANumberThatIsNoneAnywhereShows) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -kNone}) {
    for (const int64_t at : {0, 10, 1024, 2047, 2600}) {
      Tensor row = random_rows({1, 2601}, 7);
      row.data()[at] = bad;
      EXPECT_FALSE(summarise(row.data(), {2601}).finite()) << at;
    }
  }
  const std::vector<float> nothing(1500, kNone);
  EXPECT_FALSE(summarise(nothing.data(), {1500}).finite());
}

// --- in the product's epilogue ---

enum class Kind { kFp32, kBf16, kInt8, kInt4 };

PackedMatrix packed(Kind kind, const Tensor& w) {
  switch (kind) {
    case Kind::kInt8:
      return PackedMatrix(QuantizedMatrix::rounded(WeightFormat::kInt8, w));
    case Kind::kInt4:
      return PackedMatrix(QuantizedMatrix::rounded(WeightFormat::kInt4, w));
    case Kind::kFp32:
    case Kind::kBf16:
      break;
  }
  return PackedMatrix(view_transposed(w), static_cast<int>(w.cols()), static_cast<int>(w.rows()),
                      kind == Kind::kFp32 ? Precision::kFp32 : Precision::kBf16);
}

class SummarisedProduct : public testing::TestWithParam<std::tuple<size_t, Kind>> {
 protected:
  void SetUp() override {
    kernels::use_kernels(kernels::supported_kernels()[std::get<0>(GetParam())].isa);
  }
  void TearDown() override {
    kernels::use_kernels(isa_);
    set_thread_count(threads_);
  }
  kernels::Isa isa_ = kernels::kernels().isa;
  int threads_ = thread_count();
};

// The reference goes through an array of logits, made for 64 rows at once.
TEST_P(SummarisedProduct, HasTheBitsOfItsLogitsForAnyNumberOfRowsAndThreads) {
  constexpr int kRows = 64, kColumns = 2 * kSummaryColumns + 77, kDepth = 70;
  const Tensor x = random_rows({kRows, kDepth}, 1), w = random_rows({kColumns, kDepth}, 2);
  const Tensor bias = random_rows({1, kColumns}, 3);
  const PackedMatrix b = packed(std::get<1>(GetParam()), w);
  Tensor logits = Tensor::empty({kRows, kColumns});
  product(kRows, view(x), b, logits.data(), kColumns, false);
  for (const bool biased : {false, true}) {
    if (biased) {
      for (int r = 0; r < kRows; ++r)
        kernels::kernels().axpy(1.0F, bias.data(), kColumns, logits.row(r));
    }
    for (const CountedColumns columns :
         {CountedColumns{kColumns}, CountedColumns{kColumns - 9, kColumns - 10},
          CountedColumns{kSummaryColumns + 1, 5}}) {
      std::vector<RowSummary> want;
      want.reserve(kRows);
      for (int r = 0; r < kRows; ++r) want.push_back(summarise(logits.row(r), columns));
      for (const int threads : {1, 2, 3}) {
        set_thread_count(threads);
        for (int m = 1; m <= kRows; m += threads == 2 ? 1 : 21) {
          std::vector<RowSummary> got(static_cast<size_t>(m));
          summarise_product(m, {view(x)}, b, biased ? bias.data() : nullptr, columns, got.data());
          for (size_t r = 0; r < got.size(); ++r) {
            ASSERT_EQ(got[r].best, want[r].best) << m << " rows, row " << r;
            ASSERT_EQ(got[r].top, want[r].top) << m << " rows, row " << r;
            ASSERT_EQ(got[r].sum, want[r].sum) << m << " rows, row " << r;
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    EveryTableAndWeight, SummarisedProduct,
    testing::Combine(testing::Range(size_t{0}, kernels::supported_kernels().size()),
                     testing::Values(Kind::kFp32, Kind::kBf16, Kind::kInt8, Kind::kInt4)));

TEST(SummarisedProducts, MoreRowsThanATaskHasEqualTheirLogits) {
  constexpr int kRows = 150, kColumns = 1500, kDepth = 40;
  const Tensor x = random_rows({kRows, kDepth}, 4), w = random_rows({kColumns, kDepth}, 5);
  const PackedMatrix b = packed(Kind::kFp32, w);
  Tensor logits = Tensor::empty({kRows, kColumns});
  product(kRows, view(x), b, logits.data(), kColumns, false);
  std::vector<RowSummary> got(kRows);
  summarise_product(kRows, {view(x)}, b, nullptr, {kColumns}, got.data());
  for (int r = 0; r < kRows; ++r) {
    const RowSummary want = summarise(logits.row(r), {kColumns});
    EXPECT_EQ(got[static_cast<size_t>(r)].best, want.best);
    EXPECT_EQ(got[static_cast<size_t>(r)].sum, want.sum);
  }
}

}  // namespace
}  // namespace alambic
