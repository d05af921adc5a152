#include "alambic/cli/bench_compare.h"

#include <gtest/gtest.h>

#include "alambic/cli/bench_products.h"

namespace alambic {
namespace {

BenchFigure figure(const char* what, double share) {
  Measurement m;
  m.what = what, m.shape = "S", m.dtype = "bf16", m.kernels = "avx2", m.tokens = 128;
  m.tokens_per_s = 1000 * share, m.flops = 1e9;
  return {m, share, "products"};
}

BenchResult result_of(std::vector<BenchFigure> figures) {
  BenchResult result;
  result.figures = std::move(figures);
  return result;
}

TEST(BenchCompare, RatiosAreOfTheSameWork) {
  const BenchResult old = result_of({figure("prompt", 0.5), figure("train", 0.25)});
  const auto ratios = ratios_to(old, figure("train", 0.5));
  ASSERT_TRUE(ratios);
  EXPECT_DOUBLE_EQ(ratios->share, 2);
  EXPECT_DOUBLE_EQ(ratios->tokens_per_s, 2);
  BenchFigure other = figure("train", 0.5);
  other.measurement.batch = 4;
  EXPECT_FALSE(ratios_to(old, other));
  other = figure("train", 0.5);
  other.measurement.dtype = "fp32";
  EXPECT_FALSE(ratios_to(old, other));
  EXPECT_FALSE(comparable(old, result_of({other})));
  EXPECT_TRUE(comparable(old, result_of({other, figure("prompt", 1)})));
}

TEST(BenchCompare, ARegressionIsAShareBelowFourFifths) {
  const BenchResult old = result_of({figure("prompt", 0.5), figure("train", 0.5)});
  EXPECT_TRUE(regressions(old, result_of({figure("prompt", 0.41), figure("train", 2)})).empty());
  const auto fallen =
      regressions(old, result_of({figure("prompt", 0.39), figure("generate", 0.01)}));
  ASSERT_EQ(fallen.size(), 1u);
  EXPECT_EQ(fallen[0], "prompt S bf16 batch 1: 0.78");
}

TEST(BenchCompare, AFasterMachineHidesNothing) {
  BenchFigure now = figure("prompt", 0.3);
  now.measurement.tokens_per_s = 1e6;
  EXPECT_EQ(regressions(result_of({figure("prompt", 0.5)}), result_of({now})).size(), 1u);
}

TEST(BenchCompare, OfTwoMeasurementsTheHigherShareStands) {
  const BenchResult better = better_of(result_of({figure("prompt", 0.5), figure("train", 0.3)}),
                                       result_of({figure("train", 0.4), figure("prompt", 0.2)}));
  ASSERT_EQ(better.figures.size(), 2u);
  EXPECT_EQ(better.figures[0].share, 0.5);
  EXPECT_EQ(better.figures[1].share, 0.4);
  EXPECT_EQ(better.figures[1].measurement.tokens_per_s, 400);
}

TEST(BenchCompare, OnednnIsNotJudged) {
  BenchFigure old = figure("product", 0.5), now = figure("product", 0.1);
  old.measurement.kernels = now.measurement.kernels = kOnednn;
  EXPECT_TRUE(regressions(result_of({old}), result_of({now})).empty());
}

}  // namespace
}  // namespace alambic
