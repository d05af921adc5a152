#include "alambic/decode/causal_step.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "alambic/decode/test_models.h"

namespace alambic {
namespace {

TEST(RowCost, InterpolatesBetweenWhatWasMeasuredAndNeverFalls) {
  RowCost cost;
  EXPECT_EQ(cost.seconds(7), 0);
  cost.observe(1, 1e-3);
  cost.observe(9, 3e-3);
  EXPECT_DOUBLE_EQ(cost.seconds(1), 1e-3);
  EXPECT_DOUBLE_EQ(cost.seconds(5), 2e-3);
  EXPECT_DOUBLE_EQ(cost.seconds(9), 3e-3);
  cost.observe(5, 9e-3);  // measured while the machine was busy: nine rows cost less
  EXPECT_DOUBLE_EQ(cost.seconds(5), 3e-3);
  for (int rows = 2; rows < 400; ++rows) EXPECT_GE(cost.seconds(rows), cost.seconds(rows - 1));
}

TEST(RowCost, WhatAPromptTookIsSupposedUntilItIsMeasured) {
  RowCost cost;
  cost.suppose(21, 21e-3);
  EXPECT_FALSE(cost.knows(21));
  cost.observe(1, 1e-3);
  EXPECT_TRUE(cost.knows(1));
  EXPECT_NEAR(cost.seconds(11), 11e-3, 1e-12);
  cost.observe(21, 5e-3);
  EXPECT_NEAR(cost.seconds(11), 3e-3, 1e-12);
  cost.suppose(21, 9);
  EXPECT_NEAR(cost.seconds(21), 5e-3, 1e-12);
}

TEST(RowCost, OneSlowStepMovesAMeanLittle) {
  RowCost cost;
  for (int i = 0; i < 10; ++i) cost.observe(4, 1e-3);
  cost.observe(4, 1);
  EXPECT_LT(cost.seconds(4), 1.2e-3);
  for (int i = 0; i < 60; ++i) cost.observe(4, 2e-3);  // it did become slower
  EXPECT_NEAR(cost.seconds(4), 2e-3, 1e-5);
}

TEST(RowCost, WhatWasNotMeasuredForLongGivesWaySooner) {
  RowCost fresh, old;
  for (int i = 0; i < 3; ++i) {
    fresh.observe(1, 2e-3);
    old.observe(1, 2e-3);
  }
  for (int i = 0; i < 48; ++i) old.observe(4, 3e-3);
  fresh.observe(1, 1e-3);
  old.observe(1, 1e-3);
  EXPECT_NEAR(fresh.seconds(1), 1.85e-3, 1e-9);
  EXPECT_NEAR(old.seconds(1), 1.55e-3, 1e-5);
}

std::vector<Draft> drafts_of(std::initializer_list<int> sureness) {
  std::vector<Draft> drafts;
  drafts.reserve(sureness.size());
  for (const int s : sureness) drafts.push_back({0, s});
  return drafts;
}

TEST(Acceptance, FollowsWhatIsSeenAtEachDistance) {
  Acceptance acceptance;
  EXPECT_GT(acceptance.at_distance(0), 0.7);
  for (int i = 0; i < 200; ++i) acceptance.observe(drafts_of({7, 7, 7}), 3, i % 4 == 0 ? 1 : 2);
  EXPECT_NEAR(acceptance.at_distance(0), 1, 0.02);
  EXPECT_NEAR(acceptance.at_distance(1), 0.75, 0.1);
  EXPECT_LT(acceptance.at_distance(2), 0.1);  // the third never stood
  EXPECT_LT(acceptance.at_distance(5), acceptance.at_distance(2) + 1e-9);
}

TEST(Acceptance, SurenessIsJudgedByWhatItCameTo) {
  Acceptance acceptance;
  for (int i = 0; i < 100; ++i) {
    acceptance.observe(drafts_of({1}), 1, 1);  // modest, and always right
    acceptance.observe(drafts_of({6}), 1, 0);
  }
  EXPECT_GT(acceptance.at_sureness(1), 0.9);
  EXPECT_LT(acceptance.at_sureness(6), 0.1);
  EXPECT_EQ(sureness_of(std::log(0.1)), 0);
  EXPECT_EQ(sureness_of(0), kSureness - 1);
}

// Where only sure drafts are verified, distances must not look as good as those.
TEST(Acceptance, DraftsThatWereNotWorthVerifyingCountByTheirSureness) {
  Acceptance acceptance;
  for (int i = 0; i < 100; ++i) acceptance.observe(drafts_of({0}), 1, 0);
  for (int i = 0; i < 100; ++i) {
    // Half of the first drafts are sure and stand; the others are known to fall, and not verified.
    if (i % 2 == 0) {
      acceptance.observe(drafts_of({7}), 1, 1);
    } else {
      acceptance.observe(drafts_of({0}), 0, 0);
    }
  }
  EXPECT_NEAR(acceptance.at_distance(0), 0.5, 0.1);
}

RowCost affine(double fixed, double per_row) {
  RowCost cost;
  for (int64_t rows = 1; rows < 1200; ++rows) {
    cost.observe(rows, fixed + per_row * static_cast<double>(rows));
  }
  return cost;
}

Acceptance always(double share, int drafts) {
  Acceptance acceptance;
  std::vector<Draft> all(static_cast<size_t>(drafts), Draft{0, 7});
  double debt = 0;
  for (int i = 0; i < 400; ++i) {
    int stood = 0;
    while (stood < drafts && (debt += 1 - share) < 1) ++stood;
    if (stood < drafts) debt -= 1;
    acceptance.observe(all, drafts, stood);
  }
  return acceptance;
}

TEST(DraftPlan, WhereRowsAreFreeEveryOutcomeGetsItsMasks) {
  const DraftPlan plan = best_plan(affine(1, 1e-6), always(0.8, 7), {.drafts = 7});
  EXPECT_EQ(plan.drafts, 7);
  EXPECT_EQ(plan.outcomes, 8);
}

TEST(DraftPlan, WhereARowCostsAForwardPlainDecodingIsFastest) {
  const DraftPlan plan = best_plan(affine(0, 1), always(0.9, 7), {.drafts = 7});
  EXPECT_EQ(plan.drafts, 0);
  EXPECT_DOUBLE_EQ(plan.tokens_per_second, 1);
}

TEST(DraftPlan, AGainWithinTheErrorOfItsEstimateIsNone) {
  // Two tokens at 1.97 times the price of one.
  const RowCost cost = affine(0.03, 0.97);
  EXPECT_EQ(best_plan(cost, always(1, 7), {.drafts = 1, .masks = false}).drafts, 0);
}

TEST(DraftPlan, DearRowsMakeItNarrowAndBatchesNarrower) {
  const RowCost cost = affine(1, 1.0 / 16);
  const DraftPlan alone = best_plan(cost, always(0.9, 7), {.drafts = 7});
  EXPECT_GT(alone.drafts, 1);
  EXPECT_LT(alone.outcomes, alone.drafts + 1);
  const DraftPlan crowd = best_plan(cost, always(0.9, 7), {.drafts = 7, .sessions = 16});
  EXPECT_LT(DraftPlan::rows(crowd.drafts, crowd.outcomes, crowd.drafts),
            DraftPlan::rows(alone.drafts, alone.outcomes, alone.drafts));
}

TEST(DraftPlan, DraftsThatCostNothingPayAtLowAcceptance) {
  const RowCost cost = affine(1, 1.0 / 6);
  EXPECT_EQ(best_plan(cost, always(0.2, 7), {.drafts = 7}).drafts, 0);
  EXPECT_GT(best_plan(cost, always(0.2, 7), {.drafts = 7, .masks = false}).drafts, 0);
}

TEST(DraftPlan, MasksGoToTheLikeliestOutcomes) {
  const Acceptance acceptance;
  EXPECT_EQ(likely_outcomes(drafts_of({7, 7, 7}), acceptance, 1), (std::vector{3}));
  EXPECT_EQ(likely_outcomes(drafts_of({7, 0, 7}), acceptance, 1), (std::vector{1}));
  EXPECT_EQ(likely_outcomes(drafts_of({}), acceptance, 4), (std::vector{0}));
}

TEST(PromptLookup, FindsTheLatestPlaceOfTheLongestRun) {
  PromptLookup lookup;
  EXPECT_EQ(lookup.find(4).length, 0);
  lookup.append(std::vector<TokenId>{1, 2, 3, 9, 2, 3, 7, 8, 5, 2, 3});
  const PromptLookup::Match match = lookup.find(2);
  EXPECT_EQ(match.length, 2);  // "2 3", whose latest earlier place is the second
  EXPECT_EQ(std::vector<TokenId>(match.tokens.begin(), match.tokens.end()),
            (std::vector<TokenId>{7, 8}));
  lookup.append(9);
  EXPECT_EQ(lookup.find(9).length, 3);  // "2 3 9"
  EXPECT_EQ(lookup.find(9).tokens.front(), 2);
  lookup.append(30);
  EXPECT_EQ(lookup.find(3).length, 0);
}

TEST(CausalStep, WhileDraftsPayPlainStepsAreMeasuredNowAndThen) {
  const auto model = random_model(1);
  RowCost cost;
  for (int i = 0; i < 3; ++i) cost.observe(1, 1);  // so dear that drafts pay
  GenerateOptions options;
  options.max_tokens = 60;
  options.block = 8;
  options.vocabulary = kTestVocabulary;
  const TokenSink no_sink;
  const Prompt prompt{{3}};
  const std::unique_ptr<CausalSession> running[] = {
      std::make_unique<CausalSession>(*model, prompt, options, no_sink, DraftSource::kMasks)};
  CausalStep step(*model, cost, {.drafted = Patience::kRenewal});
  for (int plain = 0; plain < 2; ++plain) {
    EXPECT_GE(step.patience().drafted, Patience::kRenewal);
    step.run(running);
    EXPECT_TRUE(running[0]->drafts.empty());
  }
  EXPECT_LT(cost.seconds(1), 1);
  EXPECT_EQ(step.patience().drafted, 0);
  step.run(running);
  EXPECT_FALSE(running[0]->drafts.empty());
  EXPECT_EQ(step.patience().drafted, 1);
}

TEST(CausalStep, PromptsThatNeverCeaseDoNotKeepDraftsWaiting) {
  const auto model = random_model(1);
  RowCost cost;
  for (int i = 0; i < 3; ++i) cost.observe(1, 1);
  GenerateOptions options;
  options.max_tokens = 60;
  options.block = 8;
  options.vocabulary = kTestVocabulary;
  const TokenSink no_sink;
  const Prompt prompt{{3}}, arriving{{3, 4, 5}};
  const auto session = [&](const Prompt& of, DraftSource source) {
    return std::make_unique<CausalSession>(*model, of, options, no_sink, source);
  };
  std::unique_ptr<CausalSession> running[] = {session(prompt, DraftSource::kMasks), nullptr};
  CausalStep step(*model, cost, {.drafted = Patience::kRenewal});
  for (int plain = 0; plain < 2; ++plain) {
    running[1] = session(arriving, DraftSource::kNone);
    step.run(running);
    EXPECT_TRUE(running[0]->drafts.empty());
  }
  EXPECT_EQ(step.patience().drafted, 0);
  EXPECT_FALSE(cost.knows(4));  // no step was fit to be measured
}

}  // namespace
}  // namespace alambic
