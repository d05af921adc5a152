#include "alambic/distill/labels.h"

#include <gtest/gtest.h>

#include "alambic/base/error.h"

namespace alambic {
namespace {

std::string meaning(const LabelSet& set, std::string_view answer) {
  const auto label = set.meant(answer);
  return label ? set.labels()[*label] : "";
}

const LabelSet& tickets() {
  static const LabelSet set({"refund", "late delivery", "card_arrival", "card", "AddToPlaylist"});
  return set;
}

TEST(Labels, WhatIsALabelButForItsDressMeansIt) {
  for (const char* answer :
       {"refund", " Refund.", "\"refund\"", "REFUND\n", "**Refund**", "Label: refund",
        "The label is: 'refund'.", "category: Refund", "[refund]"}) {
    EXPECT_EQ(meaning(tickets(), answer), "refund") << answer;
  }
  for (const char* answer : {"late_delivery", "Late Delivery", "late-delivery.", "LateDelivery"})
    EXPECT_EQ(meaning(tickets(), answer), "late delivery") << answer;
  for (const char* answer : {"addtoplaylist", "Add to playlist", "add_to_playlist"})
    EXPECT_EQ(meaning(tickets(), answer), "AddToPlaylist") << answer;
}

TEST(Labels, AShortAnswerThatHoldsOneLabelMeansIt) {
  EXPECT_EQ(meaning(tickets(), "This is about a refund for the blender."), "refund");
  // The longest that begins there: "card" is none of its own in it.
  EXPECT_EQ(meaning(tickets(), "It is a question of card arrival"), "card_arrival");
  EXPECT_EQ(meaning(tickets(), "refund\n\nThe customer wants the money back, not the card."),
            "refund");
  EXPECT_EQ(meaning(tickets(), "The customer waits for the parcel and the card.\nLabel: refund"),
            "refund");
}

TEST(Labels, SeveralNoneAndDenialsMeanNothing) {
  for (const char* answer :
       {"", " \n", "refund or late delivery", "a question", "It is not a refund.", "refunds",
        "I don't know, refund?", "refund\nlate delivery",
        "The customer has written at length about many things that went on in the shop, and in the "
        "end it may well be that all of it is about a refund"}) {
    EXPECT_EQ(meaning(tickets(), answer), "") << answer;
  }
}

TEST(Labels, ALabelMayDenyOrBeASignOrANumber) {
  const LabelSet answers({"yes", "no"});
  EXPECT_EQ(meaning(answers, "No."), "no");
  EXPECT_EQ(meaning(answers, "The answer is no"), "no");
  const LabelSet signs({"+", "-", "0"});
  EXPECT_EQ(meaning(signs, "+"), "+");
  EXPECT_EQ(meaning(signs, "\"-\""), "-");
  EXPECT_EQ(meaning(signs, "0."), "0");
  EXPECT_EQ(meaning(signs, "zero"), "");
}

// Words run together, digits of two words never: "1.0" is not "10".
TEST(Labels, DigitsOfTwoWordsAreNoNumber) {
  const LabelSet set({"0", "1", "10"});
  for (const char* answer : {"1.0", "1 0", "Rating: 1.0"})
    EXPECT_EQ(meaning(set, answer), "") << answer;
  EXPECT_EQ(meaning(set, "Rating: 10"), "10");
}

TEST(Labels, LabelsThatDifferInTheirMarksAloneAreMeantByTheirOwn) {
  const LabelSet set({"C", "C++", "c"});
  EXPECT_EQ(meaning(set, "C++"), "C++");
  EXPECT_EQ(meaning(set, "C"), "C");
  EXPECT_EQ(meaning(set, "c."), "c");
  EXPECT_EQ(meaning(set, "It is written in c"), "");
}

TEST(Labels, OtherScriptsAreReadAsTheyAreWritten) {
  const LabelSet set({"Rückgabe", "Öffnungszeiten", "退款"});
  EXPECT_EQ(meaning(set, "rückgabe"), "Rückgabe");
  EXPECT_EQ(meaning(set, "Kategorie: ÖFFNUNGSZEITEN"), "Öffnungszeiten");
  EXPECT_EQ(meaning(set, "退款。"), "退款");
  EXPECT_EQ(meaning(set, "\xff\xfe"), "");
}

TEST(Labels, WhatIsNoSetIsRefused) {
  EXPECT_THROW(LabelSet({}), Error);
  EXPECT_THROW(LabelSet({"a", " "}), Error);
  EXPECT_THROW(LabelSet(std::vector<std::string>(kMaxLabels + 1, "a")), Error);
}

TEST(Labels, TwoSetsAreToldApart) {
  const std::vector<std::string> ours = {"refund", "card"}, theirs = {"card", "loan", "rate"};
  EXPECT_EQ(label_difference(ours, ours), "");
  EXPECT_EQ(label_difference(theirs, ours),
            "it never learned 1 of these 2 labels (\"refund\"), and 2 of its own are none of these "
            "(\"loan\", \"rate\")");
  EXPECT_NE(labels_key(ours), labels_key(theirs));
  EXPECT_NE(labels_key(std::vector<std::string>{"ab", "c"}),
            labels_key(std::vector<std::string>{"a", "bc"}));
}

TEST(Labels, TheFirstAnswersOutsideAreShown) {
  OutsideAnswers outside;
  EXPECT_TRUE(outside.empty());
  outside.add(" what\n");
  EXPECT_EQ(outside.in_words(), "1 answer is outside the labels: \"what\"");
  outside.add("who");
  outside.add(std::string(200, 'x'));
  EXPECT_EQ(outside.in_words(), "3 answers are outside the labels: \"what\", \"who\", …");
}

}  // namespace
}  // namespace alambic
