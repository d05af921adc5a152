#include "alambic/eval/interval.h"

#include <gtest/gtest.h>

#include <cmath>

#include "alambic/base/error.h"
#include "alambic/base/rng.h"

namespace alambic {
namespace {

std::vector<double> coin_flips(int n, double p, uint64_t seed) {
  Rng rng(seed);
  std::vector<double> flips(static_cast<size_t>(n));
  for (double& flip : flips) flip = rng.uniform() < p ? 1 : 0;
  return flips;
}

TEST(Bootstrap, WidthIsThatOfTheNormalApproximation) {
  // For 2000 flips of p = 0.3 the interval is 2 * 1.96 * sqrt(p q / n) = 0.0402 wide; 1000
  // resamples know it to about 5 %.
  const Score score = score_of(mean_evidence(coin_flips(2000, 0.3, 1)));
  EXPECT_NEAR(score.interval.high - score.interval.low, 0.0402, 0.004);
}

TEST(Bootstrap, CoversTheTruthAboutAsOftenAsItSays) {
  int covered = 0;
  constexpr int kTrials = 200;
  for (int trial = 0; trial < kTrials; ++trial) {
    BootstrapOptions options;
    options.resamples = 300;
    options.seed = static_cast<uint64_t>(trial);
    const Score score =
        score_of(mean_evidence(coin_flips(200, 0.4, 1000 + static_cast<uint64_t>(trial))), options);
    covered += score.interval.low <= 0.4 && 0.4 <= score.interval.high;
  }
  // 95 % of 200 with three standard deviations of slack.
  EXPECT_GE(covered, 180);
}

TEST(Bootstrap, OneExampleHasAnIntervalOfNoWidth) {
  const Score score = score_of(mean_evidence(std::vector<double>{0.25}));
  EXPECT_EQ(score.interval.low, 0.25);
  EXPECT_EQ(score.interval.high, 0.25);
}

TEST(PairedBootstrap, SharedDifficultyCancels) {
  // b fails wherever a fails, and on 3 % more: unpaired intervals overlap, the paired one excludes
  // zero.
  const std::vector<double> a = coin_flips(1000, 0.5, 3);
  std::vector<double> b = a;
  for (size_t i = 0; i < b.size(); i += 17) b[i] = 0;
  const Score sa = score_of(mean_evidence(a)), sb = score_of(mean_evidence(b));
  EXPECT_LT(sa.interval.low, sb.interval.high);
  const PairedComparison paired = paired_bootstrap(mean_evidence(a), mean_evidence(b));
  EXPECT_GT(paired.interval.low, 0);
  EXPECT_GT(paired.probability, 0.99);
  EXPECT_NEAR(paired.difference, sa.value - sb.value, 1e-12);
}

TEST(PairedBootstrap, EqualSystemsAreATossUp) {
  const Evidence evidence = mean_evidence(coin_flips(100, 0.5, 4));
  EXPECT_EQ(paired_bootstrap(evidence, evidence).probability, 0.5);
}

TEST(PairedBootstrap, RefusesDifferentExamples) {
  EXPECT_THROW(paired_bootstrap(mean_evidence(std::vector<double>{1}),
                                mean_evidence(std::vector<double>{1, 0})),
               Error);
}

TEST(GapClosed, IsTheShareOfTheTeachersLead) {
  std::vector<double> teacher(400, 1), student(400, 1), control(400, 1);
  for (size_t i = 0; i < 400; ++i) {
    control[i] = i % 2;                   // 0.5
    student[i] = i % 2 || i % 8 ? 1 : 0;  // 0.875
  }
  const GapClosed gap =
      gap_closed(mean_evidence(teacher), mean_evidence(student), mean_evidence(control));
  ASSERT_TRUE(gap.value && gap.interval);
  EXPECT_NEAR(*gap.value, 0.75, 1e-12);
  EXPECT_LT(gap.interval->low, 0.75);
  EXPECT_GT(gap.interval->high, 0.75);
}

TEST(GapClosed, TurnsRoundWhereLowerIsBetter) {
  const std::vector<double> low(50, 2), middle(50, 3), high(50, 4);
  const GapClosed gap =
      gap_closed(mean_evidence(low), mean_evidence(middle), mean_evidence(high), true);
  ASSERT_TRUE(gap.value);
  EXPECT_NEAR(*gap.value, 0.5, 1e-12);
}

TEST(GapShare, SharesAlongAChainAddUp) {
  const auto flips = [](double p, uint64_t seed) {
    return mean_evidence(coin_flips(400, p, seed));
  };
  const Evidence control = flips(0.4, 1), start = flips(0.5, 2), student = flips(0.7, 3),
                 teacher = flips(0.9, 4);
  const GapClosed first = gap_share(teacher, control, control, start),
                  second = gap_share(teacher, control, start, student),
                  all = gap_closed(teacher, student, control);
  ASSERT_TRUE(first.value && second.value && second.interval && all.value);
  EXPECT_NEAR(*first.value + *second.value, *all.value, 1e-12);
  EXPECT_LT(second.interval->low, *second.value);
  EXPECT_GT(second.interval->high, *second.value);
}

TEST(GapClosed, HasNoValueAndAReasonWhereTheTeacherDoesNotLead) {
  const Evidence half = mean_evidence(coin_flips(200, 0.5, 5));
  std::vector<double> slightly = coin_flips(200, 0.5, 5);
  for (double& value : slightly) {
    if (value == 0) {
      value = 1;  // one example better: inside the noise
      break;
    }
  }
  const GapClosed none = gap_closed(half, half, half);
  EXPECT_FALSE(none.value);
  EXPECT_NE(none.reason.find("does not beat"), std::string::npos);
  const GapClosed noise = gap_closed(mean_evidence(slightly), half, half);
  EXPECT_FALSE(noise.value);
  EXPECT_NE(noise.reason.find("within the noise"), std::string::npos);
}

TEST(StudentT, QuantilesAreThoseOfPrintedTables) {
  EXPECT_NEAR(student_t_975(1), 12.7062, 1e-4);
  EXPECT_NEAR(student_t_975(2), 4.30265, 1e-5);
  EXPECT_NEAR(student_t_975(4), 2.77645, 1e-5);
  EXPECT_NEAR(student_t_975(9), 2.26216, 1e-5);
  EXPECT_NEAR(student_t_975(30), 2.04227, 1e-5);
  EXPECT_NEAR(student_t_975(1000), 1.96234, 1e-5);
}

TEST(MeanInterval, FollowsStudentT) {
  // 1, 2, 3: mean 2, standard error 1 / sqrt(3), t(2) = 4.30265.
  const std::vector<double> values = {1, 2, 3};
  const Score score = mean_interval(values);
  EXPECT_DOUBLE_EQ(score.value, 2);
  EXPECT_NEAR(score.interval.high, 2 + 4.30265 / std::sqrt(3.0), 1e-5);
  EXPECT_THROW(mean_interval(std::vector<double>{1}), Error);
}

}  // namespace
}  // namespace alambic
