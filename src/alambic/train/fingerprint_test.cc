#include "alambic/train/fingerprint.h"

#include <gtest/gtest.h>

namespace alambic {
namespace {

TEST(Fingerprint, NamesTheSettingThatDiffersWithItsSection) {
  const std::string was = "name = \"a\"\n\n[student]\ndim = 16\nheads = 2\n";
  EXPECT_EQ(first_setting_difference(was, was), "");
  EXPECT_EQ(first_setting_difference(was, "name = \"a\"\n\n[student]\ndim = 32\nheads = 2\n"),
            "student.dim was 16 and is 32");
  EXPECT_EQ(first_setting_difference(was, "name = \"b\"\n\n[student]\ndim = 32\nheads = 2\n"),
            "name was \"a\" and is \"b\"");
}

TEST(Fingerprint, NamesASettingThatOnlyOneHas) {
  EXPECT_EQ(first_setting_difference("a = 1\n", "a = 1\nb = 2\n"), "b is 2 and was not set");
  EXPECT_EQ(first_setting_difference("a = 1\nb = 2\n", "a = 1\n"), "b was 2 and is not set");
  EXPECT_NE(first_setting_difference("student 1 2", "student 3 4"), "");
}

}  // namespace
}  // namespace alambic
