#include "alambic/decode/circles.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "alambic/base/rng.h"

namespace alambic {
namespace {

// After how many tokens the text is found to run in circles; 0: never.
size_t stops_at(const std::vector<TokenId>& text) {
  Circles circles;
  for (size_t n = 1; n <= text.size(); ++n) {
    if (circles.closed_by(std::span(text).first(n))) return n;
  }
  return 0;
}

std::vector<TokenId> letters(std::string_view text) { return {text.begin(), text.end()}; }

// `beginning`, then `sequence` so many times.
std::vector<TokenId> repeated(std::string_view beginning, std::string_view sequence, int times) {
  std::vector<TokenId> text = letters(beginning);
  for (int i = 0; i < times; ++i) text.insert(text.end(), sequence.begin(), sequence.end());
  return text;
}

TEST(Circles, ASequenceOverAndOverIsFound) {
  EXPECT_EQ(stops_at(repeated("Dear:", "Sir or ", 100)), 5 + 128U);  // 18 times and a bit
  EXPECT_EQ(stops_at(repeated("", "we will refund the order today, ", 12)), 10 * 32U);
  EXPECT_EQ(stops_at(repeated("order K", "4", 200)), 7 + 96U);
  EXPECT_EQ(stops_at(repeated("order K", "48", 200)), 7 + 96U);
}

TEST(Circles, ItIsFoundWhereverItBegins) {
  EXPECT_EQ(stops_at(repeated("A text that says something first.", "so it goes ", 20)), 33 + 128U);
}

TEST(Circles, TablesOfEqualDigitsAreNone) {
  EXPECT_EQ(stops_at(repeated("", "0 0 0 0 0 0 0 0\n", 15)), 0U);
  EXPECT_EQ(stops_at(repeated("", "0000000000000000000000000000\n", 8)), 0U);
  EXPECT_EQ(stops_at(repeated("", "-----------------------------", 3)), 0U);
  // Until nobody reads them.
  EXPECT_EQ(stops_at(repeated("", "0 0 0 0 0 0 0 0\n", 30)), 256U);
}

TEST(Circles, ARefrainAndAListAreNone) {
  EXPECT_EQ(stops_at(repeated("", "Row, row, row your boat, gently down the stream.\n", 5)), 0U);
  EXPECT_EQ(stops_at(repeated("[", R"({"x":0,"y":0},)", 5)), 0U);
  std::vector<TokenId> counting;
  for (TokenId i = 0; i < 500; ++i) {
    for (const TokenId token : {300 + i, TokenId{7}, TokenId{8}}) counting.push_back(token);
  }
  EXPECT_EQ(stops_at(counting), 0U);
}

TEST(Circles, WhatIsLongerThanTheLongestSequenceIsNone) {
  std::vector<TokenId> text;
  for (int turn = 0; turn < 20; ++turn) {
    for (TokenId i = 0; i < 65; ++i) text.push_back(i);
  }
  EXPECT_EQ(stops_at(text), 0U);
}

TEST(Circles, NoiseIsNone) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Rng rng(seed, 0);
    std::vector<TokenId> text(2000);
    for (TokenId& token : text) token = static_cast<TokenId>(rng.below(3));
    EXPECT_EQ(stops_at(text), 0U);
  }
}

}  // namespace
}  // namespace alambic
