#include "alambic/decode/quality.h"

#include <gtest/gtest.h>

#include "alambic/base/error.h"

namespace alambic {
namespace {

std::vector<QualityPoint> measured() {
  return {{true, 0.9, 0.1, 1.0, 2.0}, {false, 0.9, 0.1, 0.98, 1.8},  // slower than without loss
          {false, 0.7, 0, 0.95, 3.0}, {false, 0.5, 0, 0.90, 4.0},
          {false, 0.4, 0, 0.85, 3.5},  // beaten in both
          {false, 0, 0, 0.50, 6.0}};
}

TEST(Quality, TheFrontierKeepsWhatNothingBeatsInBoth) {
  const auto dial = frontier(measured());
  ASSERT_EQ(dial.size(), 4U);
  EXPECT_EQ(dial[0].speed, 6);
  EXPECT_EQ(dial[1].speed, 4);
  EXPECT_EQ(dial[2].speed, 3);
  EXPECT_TRUE(dial[3].lossless);
}

TEST(Quality, TheAreaWeighsExtraSpeedByWhatIsKept) {
  // 1 to 2 at 1.0, to 3 at 0.95, to 4 at 0.9, to 6 at 0.5
  EXPECT_DOUBLE_EQ(area_under(frontier(measured())), 1 + 0.95 + 0.9 + 2 * 0.5);
  EXPECT_EQ(area_under(std::vector<QualityPoint>{{true, 0, 0, 1, 0.7}}), 0);
}

TEST(Quality, EndsAreTheFastestAndTheLosslessSetting) {
  const auto dial = frontier(measured());
  EXPECT_TRUE(choose_quality(dial, 1).lossless);
  EXPECT_EQ(choose_quality(dial, 0).speed, 6);
  EXPECT_EQ(choose_quality(dial, 0.5).speed, 4);   // wants 0.75
  EXPECT_EQ(choose_quality(dial, 0.85).speed, 3);  // wants 0.925
  GenerateOptions options;
  EXPECT_EQ(apply(choose_quality(dial, 0.5), options), DecodeMode::kDiffusion);
  EXPECT_EQ(options.reveal.threshold, 0.5);
  EXPECT_EQ(apply(choose_quality(dial, 1), options), DecodeMode::kSpeculative);
}

TEST(Quality, WithoutADialOrOutsideItIsRefused) {
  EXPECT_THROW(choose_quality({}, 0.5), Error);
  EXPECT_THROW(choose_quality(frontier(measured()), 1.5), Error);
  EXPECT_THROW(choose_quality(frontier(measured()), -0.1), Error);
}

}  // namespace
}  // namespace alambic
