#include "alambic/eval/task.h"

#include <gtest/gtest.h>

namespace alambic {
namespace {

TEST(Task, SolvedAsksTheVerifierAndNotTheReference) {
  const std::vector<Example> puzzles = {{.prompt = "2,3,4:24", .completion = "2*3=6,6*4=24"},
                                        {.prompt = "2,3,4:24", .completion = "2*3=6,6*4=24"},
                                        {.prompt = "12*34", .completion = "840,630=8040"},
                                        {.prompt = "12*34", .completion = "840,630=8040"}};
  const std::vector<std::string> answers = {"4*2=8,8*3=24", "2*3=6,6*4=25", "8040", "\xff\x00"};
  EXPECT_DOUBLE_EQ(score_of(score_answers(Task::kSolved, answers, puzzles)).value, 0.5);
  EXPECT_EQ(task_from_name("solved"), Task::kSolved);
  EXPECT_STREQ(traits(Task::kSolved).name, "solved");
}

TEST(Task, WhatIsThoughtBeforeAnAnswerIsNoPartOfIt) {
  const std::vector<std::string> answers = {"<think>\n2 + 2\n</think>\n\n4", "so\n</think>\n\n4",
                                            "<think>4", "4"};
  std::vector<Example> examples(answers.size());
  for (Example& example : examples) example.completion = "4";
  examples[3].completion = "<think>\n2 + 2\n</think>\n\n4";
  for (const Task task : {Task::kExact, Task::kAccuracy})
    EXPECT_EQ(score_answers(task, answers, examples).rows,
              (std::vector<double>{1, 1, 1, 1, 0, 1, 1, 1}));  // right or not, of one
}

}  // namespace
}  // namespace alambic
