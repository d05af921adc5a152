#include "alambic/eval/baseline.h"

#include <gtest/gtest.h>

#include "alambic/base/error.h"

namespace alambic {
namespace {

using Texts = std::vector<std::string>;

TEST(MostFrequent, TiesGoToTheFirstInByteOrder) {
  EXPECT_EQ(most_frequent(Texts{"b", "a", "b", "a", "c"}), "a");
  EXPECT_EQ(most_frequent(Texts{"z", "a", "z"}), "z");
  EXPECT_THROW(most_frequent(Texts{}), Error);
}

TEST(NearestNeighbour, AnswersWithTheClosestPromptsCompletion) {
  const NearestNeighbour model(Texts{"a red house", "the blue boat", "green trees grow"},
                               Texts{"une maison rouge", "le bateau bleu", "des arbres"});
  EXPECT_EQ(model.complete("a blue boat"), "le bateau bleu");
  EXPECT_EQ(model.complete("trees"), "des arbres");
  EXPECT_EQ(model.complete(""), "une maison rouge");
}

}  // namespace
}  // namespace alambic
