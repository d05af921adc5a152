#include "alambic/text/pattern.h"

#include <gtest/gtest.h>

#include "alambic/base/error.h"

namespace alambic {
namespace {

using Matches = std::vector<std::string>;

Matches matches(const std::string& expression, const std::string& text) {
  Matches found;
  Pattern::regex(expression, "test").for_each_match(text, [&](size_t begin, size_t end) {
    found.push_back(text.substr(begin, end - begin));
  });
  return found;
}

TEST(Pattern, EscapesMeanWhatTheyMeanToOniguruma) {
  EXPECT_EQ(matches(R"(\w+)", "a\u0300b_9\u203F \u24D0"), (Matches{"a\u0300b_9\u203F", "\u24D0"}));
  EXPECT_EQ(matches(R"(\h+)", "xyzBEEF09g"), Matches{"BEEF09"});
  EXPECT_EQ(matches(R"(\s)", "a\u0085\u180Eb\u3000"), (Matches{"\u0085", "\u3000"}));
  EXPECT_EQ(matches(R"([\s\w]+)", "-a b-"), Matches{"a b"});
  EXPECT_EQ(matches(R"(^.)", "ab\ncd"), (Matches{"a", "c"}));
  EXPECT_EQ(matches(R"(\u00e9)", "caf\u00e9"), Matches{"\u00e9"});
  EXPECT_EQ(matches(R"([[:alpha:]x]+)", "1ab"), Matches{"ab"});
  EXPECT_EQ(matches(R"([^a[bc]\s]+)", "ax[y] bz"), (Matches{"x[y]", "z"}));
}

TEST(Pattern, EmptyMatchesAreReportedOnceAndDoNotLoop) {
  EXPECT_EQ(matches("x*", "axb"), (Matches{"", "x", ""}));
  EXPECT_EQ(matches("(?=b)", "abab").size(), 2u);
}

TEST(Pattern, BrokenBytesEndMatches) {
  EXPECT_EQ(matches(".+", "ab\xFF\u00e9\xC3"), (Matches{"ab", "\u00e9"}));
}

TEST(Pattern, DialectOutsideTheTranslationIsRefused) {
  for (const char* expression :
       {"[a[^b]]", "[a[]b]", "[a&&b]", R"([\W])", R"(\u12)", "(", R"(\p{Nonsense})"}) {
    EXPECT_THROW(Pattern::regex(expression, "test"), Error) << expression;
  }
}

TEST(Pattern, ExplosionsEndInAnError) {
  const std::string text(5000, 'a');
  EXPECT_THROW(matches("(a|aa)+[bc]", text), Error);
  EXPECT_THROW(Pattern::literal("a").replace(text, text), Error);
}

}  // namespace
}  // namespace alambic
