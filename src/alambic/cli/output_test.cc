#include "alambic/cli/output.h"

#include <gtest/gtest.h>

namespace alambic {
namespace {

std::string error_line(std::string_view message) {
  testing::internal::CaptureStderr();
  print_error(message);
  return testing::internal::GetCapturedStderr();
}

TEST(Output, AnErrorIsOneLineWhateverItQuotes) {
  EXPECT_EQ(error_line("[a.json] got \"x\n\ty\x1b[31m\", want z\n"),
            "alambic: [a.json] got \"x y\\x1b[31m\", want z\n");
  EXPECT_EQ(error_line("naïve 2×"), "alambic: naïve 2×\n");
}

}  // namespace
}  // namespace alambic
