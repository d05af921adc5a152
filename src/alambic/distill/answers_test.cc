#include "alambic/distill/answers.h"

#include <gtest/gtest.h>

namespace alambic {
namespace {

constexpr auto kGood = AnswerKind::kGood;
constexpr auto kReasoning = AnswerKind::kReasoning;

TEST(Answers, AWholeTraceIsTakenFromInFrontOfTheAnswer) {
  for (const char* written :
       {"<think>\n2+2\n</think>\n\n4", "2+2</think>4", " <think>2+2</think>4\n"}) {
    const JudgedAnswer judged = judge_answer(written, false);
    EXPECT_EQ(judged.kind, kGood) << written;
    EXPECT_EQ(judged.text, "4") << written;
    EXPECT_EQ(judged.reasoning, "2+2") << written;
  }
  const JudgedAnswer twice = judge_answer("<think>a</think>b<think>c</think>d", false);
  EXPECT_EQ(twice.text, "bd");
  EXPECT_EQ(twice.reasoning, "a\n\nc");
}

TEST(Answers, AnEmptyTraceIsNoTraceAndAnAnswerAllTheSame) {
  const JudgedAnswer judged = judge_answer("<think>\n\n</think>\n\nyes", false);
  EXPECT_EQ(judged.kind, kGood);
  EXPECT_EQ(judged.text, "yes");
  EXPECT_EQ(judged.reasoning, "");
  EXPECT_EQ(with_reasoning("", "yes"), "yes");
  EXPECT_EQ(with_reasoning("so", "yes"), "<think>\nso\n</think>\n\nyes");
}

TEST(Answers, ThoughtsWithoutAnAnswerAreNone) {
  for (const char* written : {"<think> let me see", "<think>a</think>", "a</think>  \n",
                              "yes <think> or no", "<think>a</think>b<think>c"}) {
    for (const bool cut : {false, true}) {
      EXPECT_EQ(judge_answer(written, cut).kind, kReasoning) << written;
    }
  }
}

TEST(Answers, BlocksInsideBlocksAreNoAnswer) {
  const JudgedAnswer judged = judge_answer("<think>a<think>b</think>c</think>d", false);
  EXPECT_EQ(judged.text, "d");
  EXPECT_EQ(judged.kind, AnswerKind::kGood);
}

TEST(Answers, CutAndEmptyAreToldApart) {
  EXPECT_EQ(judge_answer("half a", true).kind, AnswerKind::kCut);
  EXPECT_EQ(judge_answer("", true).kind, AnswerKind::kCut);
  EXPECT_EQ(judge_answer("", false).kind, AnswerKind::kEmpty);
  EXPECT_EQ(judge_answer(" \n", false).kind, AnswerKind::kEmpty);
  EXPECT_EQ(judge_answer("<think>a</think>half a", true).kind, AnswerKind::kCut);
  // What nobody thought about stays as it was written.
  EXPECT_EQ(judge_answer(" a ", false).text, " a ");
}

TEST(Answers, TheSumNamesEveryKindAndWhatToRaise) {
  AnswerTally tally;
  tally.add(kGood, 180);
  tally.add(AnswerKind::kCut, 12);
  tally.add(AnswerKind::kEmpty, 5);
  tally.add(AnswerKind::kFiltered, 3);
  EXPECT_EQ(tally.in_words({}, "asked"),
            "200 asked: 180 answers, 12 cut off at 128 tokens (raise signals.max_new_tokens), 5 "
            "empty, 3 filtered");
  EXPECT_EQ(tally.left_out_in_words(), "12 cut off, 5 empty, 3 filtered");
  EXPECT_EQ(tally.warning({}), "");  // a tenth, no more
  tally.add(AnswerKind::kCut);
  EXPECT_NE(tally.warning({}).find("signals.max_new_tokens = 128 is too small"), std::string::npos);
  AnswerTally fine;
  fine.add(kGood);
  EXPECT_EQ(fine.in_words({}, "asked"), "1 asked: 1 answer");
  EXPECT_EQ(fine.left_out_in_words() + fine.cause({}) + fine.warning({}), "");
}

TEST(Answers, EveryKindHasANameThatIsReadBack) {
  for (size_t i = 0; i < kAnswerKinds; ++i) {
    const auto kind = static_cast<AnswerKind>(i);
    EXPECT_EQ(answer_kind_from_name(answer_kind_name(kind), "x"), kind);
  }
  EXPECT_THROW(answer_kind_from_name("excellent", "x"), Error);
}

TEST(Answers, CirclesAreToldApartFromALimit) {
  AnswerTally tally;
  tally.add(kGood, 5);
  tally.add(AnswerKind::kCut);
  tally.add(AnswerKind::kCircles, 4);
  EXPECT_EQ(tally.left_out_in_words(), "1 cut off, 4 in circles");
  EXPECT_NE(tally.warning({}).find("loses the thread"), std::string::npos);
}

}  // namespace
}  // namespace alambic
