#include "alambic/distill/hybrid_layout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

namespace alambic {
namespace {

constexpr TokenId kMaskId = 99;

Sequence counted_text(int prompt, int answer, TokenId first = 0) {
  Sequence s;
  s.prompt_tokens = prompt;
  for (int i = 0; i < prompt + answer; ++i) s.tokens.push_back(first + i);
  return s;
}

HybridOptions drafts_only() {
  HybridOptions o;
  o.draft_weight = 0.5;
  o.suffix_share = 1;
  return o;
}

// Blocks inside a text: the first may be cut by the phase, the last by the end.
std::set<int> inner_lengths(const HybridOptions& options, uint64_t seeds) {
  const Sequence s = counted_text(3, 80);
  std::set<int> lengths;
  for (uint64_t seed = 0; seed < seeds; ++seed) {
    Rng rng(seed);
    const HybridLayout layout = hybrid_layout(options, kMaskId, {&s}, rng);
    for (size_t g = 2; g + 1 < layout.groups.size(); ++g) lengths.insert(layout.groups[g].rows);
  }
  return lengths;
}

TEST(HybridLayout, BlocksOfATextHaveOneLengthBetweenShortestAndLongest) {
  HybridOptions options = drafts_only();
  options.block_min = 4;
  options.block = 9;
  EXPECT_EQ(inner_lengths(options, 200), (std::set<int>{4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(inner_lengths(options, 1).size(), 1U);
  options.block_min = 9;
  EXPECT_EQ(inner_lengths(options, 50), std::set<int>{9});
}

TEST(HybridLayout, BlocksCoverTheAnswerOnceAndSeeTheTextBeforeThem) {
  HybridOptions options = drafts_only();
  options.suffix_share = 0.5;
  const Sequence s = counted_text(3, 40);
  Rng rng(7);
  const HybridLayout layout = hybrid_layout(options, kMaskId, {&s}, rng);
  int next = 3;
  for (size_t g = 1; g < layout.groups.size(); ++g) {
    const RowGroup& group = layout.groups[g];
    EXPECT_EQ(group.position, next);
    ASSERT_EQ(group.sees.size(), 1U);
    EXPECT_EQ(group.sees[0].rows, next);
    EXPECT_FALSE(group.causal);
    next += group.rows;
  }
  EXPECT_EQ(next, 43);
}

TEST(HybridLayout, ADraftWeighsLessTheFartherItIs) {
  HybridOptions options = drafts_only();
  options.block = options.block_min = 6;
  options.draft_decay = 2;
  const Sequence s = counted_text(1, 60);
  Rng rng(3);
  const HybridLayout layout = hybrid_layout(options, kMaskId, {&s}, rng);
  int64_t last_row = -2;
  int distance = 0;
  double before = 0;
  for (const ScoredRow& row : layout.scored) {
    if (row.kind != RowKind::kDraft) continue;
    const bool starts = row.weight == static_cast<float>(options.draft_weight);
    distance = starts ? 0 : distance + 1;
    EXPECT_TRUE(starts || row.row == last_row + 1);
    EXPECT_NEAR(row.weight, 0.5 * std::exp(-distance / 2.0), 1e-6);
    if (!starts) {
      EXPECT_LT(row.weight, before);
    }
    before = static_cast<double>(row.weight);
    last_row = row.row;
  }
  EXPECT_GE(last_row, 0);
}

TEST(HybridLayout, ACausalRowPredictsTheSameTokenFromItsLeft) {
  const Sequence s = counted_text(2, 20), second = counted_text(4, 9, 30);
  Rng rng(3);
  const HybridLayout layout = hybrid_layout(drafts_only(), kMaskId, {&s, &second}, rng);
  for (const ScoredRow& row : layout.scored) {
    if (row.kind != RowKind::kDraft) continue;
    // Tokens count up, so the row before a token shows its predecessor.
    EXPECT_EQ(layout.tokens[static_cast<size_t>(row.causal)],
              row.sequence->tokens[static_cast<size_t>(row.target)] - 1);
    EXPECT_EQ(layout.tokens[static_cast<size_t>(row.row)], kMaskId);
  }
}

TEST(HybridLayout, EditedBlocksScoreVisibleTokensRightOrWrong) {
  HybridOptions options;
  options.draft_weight = 1;
  options.suffix_share = 0;
  options.edit_share = 0.25;
  const Sequence s = counted_text(2, 2000), other = counted_text(2, 2000, 5000);
  Rng rng(11);
  const HybridLayout layout = hybrid_layout(options, kMaskId, {&s, &other}, rng);
  double visible = 0, wrong = 0;
  for (const ScoredRow& row : layout.scored) {
    const TokenId shown = layout.tokens[static_cast<size_t>(row.row)];
    if (row.kind == RowKind::kMasked) {
      EXPECT_EQ(shown, kMaskId);
    }
    if (row.kind != RowKind::kEdited) continue;
    EXPECT_EQ(row.weight, 1);
    EXPECT_FALSE(row.teachable);
    ++visible;
    wrong += shown == row.sequence->tokens[static_cast<size_t>(row.target)] ? 0 : 1;
  }
  // A binomial share, 5 sigma.
  EXPECT_NEAR(wrong / visible, 0.25, 5 * std::sqrt(0.25 * 0.75 / visible));
}

TEST(HybridLayout, WithoutEditingVisibleTokensAreNotScored) {
  HybridOptions options;
  options.draft_weight = 1;
  options.suffix_share = 0;
  const Sequence s = counted_text(2, 200);
  Rng rng(11);
  for (const ScoredRow& row : hybrid_layout(options, kMaskId, {&s}, rng).scored)
    EXPECT_NE(row.kind, RowKind::kEdited);
}

TEST(HybridLayout, CleanRowsOfATextOfTheModelsOwnWeighWhatHoldsThem) {
  Sequence s = counted_text(2, 20);
  s.own = true;
  for (const double hold : {0.0, 0.5}) {
    HybridOptions options;
    options.draft_weight = 1;
    options.own.hold = hold;
    Rng rng(3);
    int clean = 0;
    for (const ScoredRow& row : hybrid_layout(options, kMaskId, {&s}, rng).scored) {
      if (row.kind != RowKind::kClean) continue;
      EXPECT_EQ(row.weight, hold);
      ++clean;
    }
    EXPECT_EQ(clean, hold > 0 ? 20 : 0);
  }
}

}  // namespace
}  // namespace alambic
