#include "alambic/base/shell.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace alambic {
namespace {

TEST(Shell, PlainArgumentsStayAsTheyAre) {
  EXPECT_EQ(shell_quoted("runs/a-b_1.toml"), "runs/a-b_1.toml");
  EXPECT_EQ(shell_quoted("student.dim=96"), "student.dim=96");
}

// The shell itself is the reference.
TEST(Shell, TheShellReadsQuotedArgumentsBack) {
  for (const std::string argument :
       {"", "two words", "it's", "$HOME `id` \\ \"q\"", "a\nb", "*?[x]", "~"}) {
    const std::string command = "printf '%s|' " + shell_quoted(argument);
    std::FILE* pipe = ::popen(command.c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    char buffer[100];
    const size_t n = std::fread(buffer, 1, sizeof buffer, pipe);
    ::pclose(pipe);
    EXPECT_EQ(std::string(buffer, n), argument + "|");
  }
}

}  // namespace
}  // namespace alambic
