#include "alambic/eval/tf_idf.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace alambic {
namespace {

using Texts = std::vector<std::string>;

TEST(TfIdf, WordsAndCharactersHaveLengthOneEachAndIndicesAscend) {
  const Texts texts = {"the cat sat", "the dog sat down", "a café in Köln"};
  const TfIdf tfidf(texts);
  for (const std::string& text : texts) {
    const SparseVector vector = tfidf.transform(text);
    double words = 0, characters = 0;
    for (size_t i = 0; i < vector.size(); ++i) {
      (vector[i].index < tfidf.words().size() ? words : characters) +=
          vector[i].weight * vector[i].weight;
      if (i > 0) {
        EXPECT_LT(vector[i - 1].index, vector[i].index);
      }
    }
    EXPECT_NEAR(words, 1, 1e-5);
    EXPECT_NEAR(characters, 1, 1e-5);
  }
  EXPECT_TRUE(tfidf.transform("").empty());
}

TEST(TfIdf, CaseDoesNotMatter) {
  const TfIdf tfidf(Texts{"ÉCOLE Lock", "other words"});
  const SparseVector a = tfidf.transform("école LOCK"), b = tfidf.transform("École lock");
  ASSERT_EQ(a.size(), b.size());
  ASSERT_FALSE(a.empty());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].weight, b[i].weight);
}

TEST(TfIdf, RareWordsWeighMoreThanCommonOnes) {
  const TfIdf tfidf(Texts{"x a", "x b", "x c", "x d"});
  const SparseVector vector = tfidf.transform("x a");
  const auto heaviest =
      std::max_element(vector.begin(), vector.end(),
                       [](const Feature& p, const Feature& q) { return p.weight < q.weight; });
  EXPECT_NE(tfidf.words()[heaviest->index], "x");
}

TEST(TfIdf, WordsEndWhereTheirScriptSaysSo) {
  const TfIdf tfidf(Texts{"don’t — «ÉTÉ»…", "ПРИВЕТ мир", "我的卡"});
  EXPECT_EQ(tfidf.words(), (Texts{"don", "don t", "t", "t été", "été", "мир", "привет",
                                  "привет мир", "卡", "我", "我 的", "的", "的 卡"}));
}

TEST(TfIdf, KeepsTheTermsOfTheMostTexts) {
  const TfIdf tfidf(Texts{"x a", "x b", "x c"}, 1);
  EXPECT_EQ(tfidf.features(), 1U);
}

TEST(TfIdf, BytesThatAreNoTextAreNoWords) {
  const TfIdf tfidf(Texts{"a\xff\xfe\xc3", "b"});
  EXPECT_EQ(tfidf.words(), (Texts{"a", "b"}));
  EXPECT_TRUE(tfidf.transform("\xff").empty());
}

}  // namespace
}  // namespace alambic
