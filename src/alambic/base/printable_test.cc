#include "alambic/base/printable.h"

#include <gtest/gtest.h>

#include <array>

#include "alambic/base/json.h"
#include "alambic/base/nearest.h"

namespace alambic {
namespace {

TEST(Printable, WhatATerminalActsOnIsEscaped) {
  EXPECT_EQ(printable("a\x1b[31mb\x07\n\t\r"), "a\\x1b[31mb\\x07\\n\\t\\r");
  EXPECT_EQ(printable("\x7f"), "\\x7f");
  EXPECT_EQ(printable("\xC2\x9B"
                      "2J"),
            "\\u009b2J");                                   // C1: a control sequence of its own
  EXPECT_EQ(printable("x\xE2\x80\xAEy"), "x\\u202ey");      // right-to-left override
  EXPECT_EQ(printable("\xE2\x81\xA6"), "\\u2066");          // an isolate
  EXPECT_EQ(printable("\xF3\xA0\x81\x81"), "\\U000e0041");  // a tag
  EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
}

TEST(Printable, BytesThatAreNoTextAreEscapedAndTextIsNot) {
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("\xED\xA0\x80"), "\\xed\\xa0\\x80");  // half of a pair
  const std::string text = "na\xC3\xAFve \xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x99\x82 \\ \"";
  EXPECT_EQ(printable(text), text);
  EXPECT_EQ(printable_lines("a\nb\x1b\n"), "a\nb\\x1b\n");
}

TEST(Printable, JsonKeepsItsValues) {
  const Json value = {{"a", "\x7f\xC2\x9B \xE2\x80\xAE \xF3\xA0\x81\x81 \xC3\xA9"}};
  const std::string shown = printable_json(dump_json(value));
  EXPECT_EQ(parse_json(shown, "here"), value);
  EXPECT_EQ(shown.find('\x7f'), std::string::npos);
  EXPECT_EQ(shown.find("\xE2\x80\xAE"), std::string::npos);
}

TEST(Counted, OneIsSingular) {
  EXPECT_EQ(counted(1, "row"), "1 row");
  EXPECT_EQ(counted(0, "row"), "0 rows");
  EXPECT_EQ(counted(2, "entry", "entries"), "2 entries");
}

TEST(Nearest, AWordWithFewLettersWrongIsFound) {
  const std::array<std::string, 4> known = {"distill", "generate", "eval", "--prompt"};
  EXPECT_EQ(nearest_name("genrate", known), "generate");
  EXPECT_EQ(nearest_name("ditsill", known), "distill");
  EXPECT_EQ(nearest_name("--promt", known), "--prompt");
  EXPECT_EQ(nearest_name("zebra", known), "");
}

}  // namespace
}  // namespace alambic
