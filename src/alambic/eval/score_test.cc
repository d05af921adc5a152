#include "alambic/eval/score.h"

#include <gtest/gtest.h>

#include <cmath>

#include "alambic/base/error.h"
#include "alambic/base/json.h"
#include "alambic/base/rng.h"
#include "alambic/eval/bleu.h"
#include "alambic/eval/rouge.h"
#include "alambic/eval/slots.h"

namespace alambic {
namespace {

using Texts = std::vector<std::string>;

const Json& golden() {
  static const Json kGolden = read_json_file(ALAMBIC_GOLDEN_DIR "/eval/scorers.json");
  return kGolden;
}

TEST(Bleu, TokensAreThoseOfTheRecordedReference) {
  for (const Json& item : golden().at("tokens_13a")) {
    const auto text = item.at("text").get<std::string>();
    EXPECT_EQ(tokenize_13a(text), item.at("tokens").get<Texts>()) << text;
  }
}

TEST(Bleu, CorpusValuesEqualSacrebleuTo1e9) {
  for (const Json& item : golden().at("bleu")) {
    const auto hypotheses = item.at("hypotheses").get<Texts>();
    const auto references = item.at("references").get<Texts>();
    EXPECT_NEAR(value_of(bleu_evidence(hypotheses, references)), item.at("bleu").get<double>(),
                1e-9)
        << item.at("name");
  }
}

TEST(Bleu, IntervalHoldsTheValueAndRepeats) {
  const Json& item = golden().at("bleu").at(0);
  const auto hypotheses = item.at("hypotheses").get<Texts>();
  const auto references = item.at("references").get<Texts>();
  const Score a = bleu(hypotheses, references), b = bleu(hypotheses, references);
  EXPECT_LT(a.interval.low, a.value);
  EXPECT_GT(a.interval.high, a.value);
  EXPECT_EQ(a.interval.low, b.interval.low);
  EXPECT_EQ(a.n, static_cast<int64_t>(hypotheses.size()));
}

TEST(Rouge, LongestCommonSubsequenceF1EqualsRougeScoreTo1e9) {
  for (const Json& item : golden().at("rouge_l")) {
    const auto hypothesis = item.at("hypothesis").get<std::string>();
    const auto reference = item.at("reference").get<std::string>();
    EXPECT_NEAR(rouge_l_f1(hypothesis, reference), item.at("f1").get<double>(), 1e-9)
        << hypothesis << " | " << reference;
  }
}

TEST(Rouge, CorpusValueIsTheMeanOfItsPairs) {
  const Texts hypotheses = {"a b", "c"}, references = {"a b", "d"};
  EXPECT_DOUBLE_EQ(rouge_l(hypotheses, references).value, 0.5);
}

TEST(Scorers, AnyBytesAreScoredWithoutHarm) {
  Rng rng(11);
  Texts a(200), b(200);
  for (Texts* texts : {&a, &b}) {
    for (std::string& text : *texts) {
      for (uint64_t k = rng.below(30); k > 0; --k) text += static_cast<char>(rng.below(256));
    }
  }
  for (const Score& score : {bleu(a, b), rouge_l(a, b), exact_match(a, b), accuracy(a, b)}) {
    EXPECT_TRUE(score.value >= 0 && score.value <= 100);
  }
}

TEST(Scorers, UnpairedOrEmptyListsAreRefused) {
  const Texts one = {"a"}, two = {"a", "b"}, none;
  EXPECT_THROW(bleu(one, two), Error);
  EXPECT_THROW(rouge_l(none, none), Error);
  EXPECT_THROW(accuracy(two, one), Error);
  EXPECT_THROW(exact_match(none, one), Error);
  EXPECT_THROW(slot_f1(none, none), Error);
  EXPECT_THROW(perplexity({}), Error);
}

TEST(Accuracy, CountsEqualAnswers) {
  const Texts answers = {"a", "b", "c", "d"}, labels = {"a", "b", "c", "x"};
  const Score score = accuracy(answers, labels);
  EXPECT_DOUBLE_EQ(score.value, 0.75);
  EXPECT_EQ(score.n, 4);
}

TEST(ExactMatch, IgnoresWhiteSpaceOnly) {
  const Texts hypotheses = {" a\n b ", "a\u00a0b", "ab", "A b"};
  const Texts references(4, "a b");
  EXPECT_DOUBLE_EQ(exact_match(hypotheses, references).value, 0.5);
}

TEST(Perplexity, IsTheExponentialOfNllPerToken) {
  const std::vector<DocumentNll> documents = {{3.0, 2}, {9.0, 4}, {0, 0}};
  EXPECT_NEAR(perplexity(documents).value, std::exp(2.0), 1e-12);
}

TEST(Perplexity, RefusesLikelihoodsThatAreNotNumbers) {
  const std::vector<DocumentNll> bad = {{std::nan(""), 2}}, empty = {{0, 0}};
  EXPECT_THROW(perplexity(bad), Error);
  EXPECT_THROW(perplexity(empty), Error);
}

TEST(Slots, MicroF1CountsPathsWithValues) {
  // By hand: 3 leaves agree, 4 are proposed, 4 are wanted.
  const Texts hypotheses = {R"({"intent":"play","slots":{"artist":"X","year":"1999"}})",
                            R"({"intent":"book","slots":{"city":"Rome","n":2}})"};
  const Texts references = {R"({"intent":"play","slots":{"year":"1999","artist":"X"}})",
                            R"({"intent":"rate","slots":{"city":"Oslo","n":2.0}})"};
  const SlotScore score = slot_f1(hypotheses, references);
  EXPECT_DOUBLE_EQ(score.f1.value, 0.75);
  EXPECT_DOUBLE_EQ(score.precision, 0.75);
  EXPECT_DOUBLE_EQ(score.recall, 0.75);
  EXPECT_DOUBLE_EQ(score.intent.value, 0.5);
  EXPECT_DOUBLE_EQ(score.exact.value, 0.5);
}

TEST(Slots, TextAfterTheObjectIsIgnored) {
  const Texts hypotheses = {" {\"a\":\"}\"} and so on {"}, references = {R"({"a":"}"})"};
  EXPECT_DOUBLE_EQ(slot_f1(hypotheses, references).exact.value, 1);
}

TEST(Slots, WhatDoesNotParseScoresZero) {
  const Texts references(5, R"({"intent":"i","slots":{"a":"b"}})");
  const Texts hypotheses = {"", "{\"a\":", "[1]", "{a:1}", std::string(5000, '{')};
  const SlotScore score = slot_f1(hypotheses, references);
  EXPECT_EQ(score.f1.value, 0);
  EXPECT_EQ(score.intent.value, 0);
  EXPECT_EQ(score.exact.value, 0);
  EXPECT_EQ(score.unparsable, 5);
}

TEST(Slots, NestedObjectsAndUnorderedListsWork) {
  const Texts references = {R"({"order":{"items":["tea","cup"],"gift":null},"n":1})"};
  const Texts same = {R"({"n":1,"order":{"gift":null,"items":["cup","tea"]}})"};
  const Texts repeated = {R"({"n":"1","order":{"gift":null,"items":["tea","tea"]}})"};
  EXPECT_DOUBLE_EQ(slot_f1(same, references).exact.value, 1);
  EXPECT_DOUBLE_EQ(slot_f1(repeated, references).f1.value, 0.5);  // gift and one tea of 4 and 4
  EXPECT_EQ(slot_f1(same, references).intent.n, 0);
}

TEST(Slots, ABrokenReferenceIsNamed) {
  const Texts hypotheses = {"{}", "{}"}, references = {"{}", "oops"};
  try {
    slot_f1(hypotheses, references);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruptData);
    EXPECT_NE(std::string(error.what()).find("reference 2"), std::string::npos);
  }
}

}  // namespace
}  // namespace alambic
