#include "alambic/eval/baseline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/base/rng.h"
#include "alambic/eval/score.h"

namespace alambic {
namespace {

using Texts = std::vector<std::string>;

TEST(MostFrequent, TiesGoToTheFirstInByteOrder) {
  EXPECT_EQ(most_frequent(Texts{"b", "a", "b", "a", "c"}), "a");
  EXPECT_EQ(most_frequent(Texts{"z", "a", "z"}), "z");
  EXPECT_THROW(most_frequent(Texts{}), Error);
}

TEST(TfIdf, VectorsHaveLengthOneAndAscendingIndices) {
  const Texts texts = {"the cat sat", "the dog sat down", "a café in Köln"};
  const TfIdf tfidf(texts);
  for (const std::string& text : texts) {
    const SparseVector vector = tfidf.transform(text);
    double squares = 0;
    for (size_t i = 0; i < vector.size(); ++i) {
      squares += vector[i].weight * vector[i].weight;
      if (i > 0) {
        EXPECT_LT(vector[i - 1].index, vector[i].index);
      }
    }
    EXPECT_NEAR(squares, 1, 1e-5);
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
  // Features are numbered by how many texts hold them, so the word in all texts comes first.
  EXPECT_NE(heaviest->index, 0U);
}

TEST(LinearClassifier, SeparatesSentencesByTheirWords) {
  Texts texts, labels;
  Rng rng(2);
  const Texts nouns = {"parcel", "invoice", "password"};
  const Texts fill = {"please", "help", "with", "my", "again", "today", "now"};
  for (int i = 0; i < 300; ++i) {
    const size_t label = rng.below(3);
    texts.push_back(fill[rng.below(7)] + ' ' + nouns[label] + ' ' + fill[rng.below(7)]);
    labels.push_back(nouns[label]);
  }
  const LinearClassifier model(texts, labels);
  EXPECT_EQ(model.classes().size(), 3U);
  EXPECT_EQ(model.predict("where is the parcel?"), "parcel");
  EXPECT_EQ(model.predict("PASSWORD forgotten"), "password");
  EXPECT_EQ(model.predict("two invoices"), "invoice");
}

TEST(LinearClassifier, WithOneClassAlwaysAnswersIt) {
  const LinearClassifier model(Texts{"a", "b"}, Texts{"only", "only"});
  EXPECT_EQ(model.predict("unseen"), "only");
  EXPECT_EQ(model.predict(""), "only");
}

TEST(LinearClassifier, RefusesUnpairedDataAndTooManyClasses) {
  EXPECT_THROW(LinearClassifier(Texts{"a"}, Texts{}), Error);
  EXPECT_THROW(LinearClassifier(Texts{}, Texts{}), Error);
  Texts many;
  for (int i = 0; i < 2001; ++i) many.push_back(std::to_string(i));
  EXPECT_THROW(LinearClassifier(many, many), Error);
}

TEST(NearestNeighbour, AnswersWithTheClosestPromptsCompletion) {
  const NearestNeighbour model(Texts{"a red house", "the blue boat", "green trees grow"},
                               Texts{"une maison rouge", "le bateau bleu", "des arbres"});
  EXPECT_EQ(model.complete("a blue boat"), "le bateau bleu");
  EXPECT_EQ(model.complete("trees"), "des arbres");
  EXPECT_EQ(model.complete(""), "une maison rouge");
}

// "text,category" rows; a text that holds a comma or a quote is quoted, quotes inside are doubled.
std::pair<Texts, Texts> read_intents(const std::string& path) {
  const std::string content = read_file(path);
  std::pair<Texts, Texts> rows;
  for (const std::string_view line : split_lines(content)) {
    const size_t comma = line.rfind(',');
    if (comma == std::string_view::npos) continue;
    rows.first.emplace_back(line.substr(0, comma));
    rows.second.emplace_back(line.substr(comma + 1));
  }
  return rows;
}

TEST(LinearClassifier, ReachesTheKnownAccuracyOnBankingIntents) {
  const char* root = std::getenv("ALAMBIC_DATA");
  const std::string path =
      (root ? std::string(root) : ALAMBIC_SOURCE_DIR "/../shared/data") + "/banking77/train.csv";
  if (!file_exists(path)) GTEST_SKIP() << "no BANKING77 at " << path;
  auto [texts, labels] = read_intents(path);
  // A third of the rows keeps the test short; the loss against all rows is in the bound.
  std::vector<size_t> order(texts.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  Rng(7).shuffle(order);
  Texts train_texts, train_labels, answers, wanted;
  for (size_t i = 0; i < order.size() / 3; ++i) {
    train_texts.push_back(texts[order[i]]);
    train_labels.push_back(labels[order[i]]);
  }
  const LinearClassifier model(train_texts, train_labels);
  for (size_t i = order.size() - 1000; i < order.size(); ++i) {
    answers.push_back(model.predict(texts[order[i]]));
    wanted.push_back(labels[order[i]]);
  }
  EXPECT_EQ(model.classes().size(), 77U);
  EXPECT_GT(accuracy(answers, wanted).value, 0.80);
}

}  // namespace
}  // namespace alambic
