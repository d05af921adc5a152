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

}  // namespace
}  // namespace alambic
