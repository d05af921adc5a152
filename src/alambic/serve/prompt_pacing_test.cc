#include "alambic/serve/prompt_pacing.h"

#include <gtest/gtest.h>

#include <numeric>

namespace alambic {
namespace {

using Shares = std::vector<int>;

TEST(PromptPacing, WhoCameFirstHasHalfAndTheShortestComesNext) {
  EXPECT_EQ(share_rows({}, 64), Shares{});
  EXPECT_EQ(share_rows(Shares{1000}, 64), Shares{64});
  EXPECT_EQ(share_rows(Shares{10}, 64), Shares{10});
  EXPECT_EQ(share_rows(Shares{1000, 5}, 64), (Shares{59, 5}));
  EXPECT_EQ(share_rows(Shares{1000, 900, 20}, 64), (Shares{32, 12, 20}));
  EXPECT_EQ(share_rows(Shares{1000, 3, 3, 3}, 8), (Shares{4, 3, 1, 0}));
}

TEST(PromptPacing, NobodyWaitsForEver) {
  Shares left{500, 400, 300, 200, 100};
  int steps = 0;
  for (; std::accumulate(left.begin(), left.end(), 0) > 0; ++steps) {
    // Short ones never cease to arrive behind them.
    Shares all = left;
    for (int i = 0; i < 20; ++i) all.push_back(4);
    const Shares shares = share_rows(all, 32);
    ASSERT_EQ(std::accumulate(shares.begin(), shares.end(), 0), 32);
    for (size_t i = 0; i < left.size(); ++i) left[i] -= shares[i];
    std::erase(left, 0);
  }
  EXPECT_LE(steps, 1500 / 16 + 5);
}

TEST(PromptPacing, APieceCostsAboutAFewStepsOfWhatIsWritten) {
  PromptPacing pacing;
  pacing.observe(100, 0.1);  // a millisecond each
  EXPECT_NEAR(pacing.rows(0.02), 80, 1);
  EXPECT_GT(pacing.rows(0), pacing.rows(0.02));  // nobody is kept waiting
  EXPECT_EQ(pacing.rows(1e-6), pacing.rows(1e-5));
  EXPECT_GE(pacing.rows(1e-6), 16);
  EXPECT_LE(pacing.rows(1e3), 1024);
  for (int i = 0; i < 50; ++i) pacing.observe(100, 0.2);
  EXPECT_NEAR(pacing.rows(0.02), 40, 1);
}

}  // namespace
}  // namespace alambic
