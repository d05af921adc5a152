#include "alambic/decode/reveal.h"

#include <gtest/gtest.h>

#include <cmath>

#include "alambic/base/error.h"

namespace alambic {
namespace {

std::vector<Guess> guesses() {
  return {{0, 5, std::log(0.6), 0.9},
          {1, 6, std::log(0.95), 0.2},
          {2, 7, std::log(0.92), 0.05},
          {3, 8, std::log(0.3), 2.0}};
}

std::vector<size_t> shown(const RevealOptions& options) {
  std::vector<Guess> all = guesses();
  const size_t count = reveal(all, options);
  std::vector<size_t> places;
  places.reserve(count);
  for (size_t i = 0; i < count; ++i) places.push_back(all[i].place);
  return places;
}

TEST(Reveal, AThresholdShowsAllThatReachItAndTheSurestAnyway) {
  EXPECT_EQ(shown({.threshold = 0.9}), (std::vector<size_t>{1, 2}));
  EXPECT_EQ(shown({.threshold = 0}), (std::vector<size_t>{1, 2, 0, 3}));
  EXPECT_EQ(shown({.threshold = 1.5}), (std::vector<size_t>{1}));
}

// Entropies 0.05, 0.2, 0.9, 2.0: a guess is shown while those before it sum to at most the bound.
TEST(Reveal, AnEntropyBoundLimitsWhatTheShownCanTellAboutEachOther) {
  const auto bounded = [](double bound) {
    return shown({.rule = RevealRule::kEntropy, .entropy_bound = bound});
  };
  EXPECT_EQ(bounded(0), (std::vector<size_t>{2}));
  EXPECT_EQ(bounded(0.1), (std::vector<size_t>{2, 1}));
  EXPECT_EQ(bounded(0.3), (std::vector<size_t>{2, 1, 0}));
  EXPECT_EQ(bounded(9), (std::vector<size_t>{2, 1, 0, 3}));
}

TEST(Reveal, ACountShowsSoManyAndNeverMoreThanThereAre) {
  EXPECT_EQ(shown({.rule = RevealRule::kCount, .count = 3}), (std::vector<size_t>{1, 2, 0}));
  EXPECT_EQ(shown({.rule = RevealRule::kCount, .count = 99}).size(), 4U);
  std::vector<Guess> none;
  EXPECT_EQ(reveal(none, {}), 0U);
}

TEST(Reveal, NamesAreReadBack) {
  for (const char* name : {"threshold", "entropy", "count"}) {
    EXPECT_EQ(name_of(reveal_rule_from_name(name)), name);
  }
  EXPECT_THROW(reveal_rule_from_name("random"), Error);
}

}  // namespace
}  // namespace alambic
