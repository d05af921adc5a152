#include "alambic/data/readers.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <set>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/base/json.h"
#include "alambic/data/split.h"
#include "alambic/data/test_errors.h"

namespace alambic {
namespace {

class Scratch : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        std::filesystem::temp_directory_path() / fmt::format("alambic_data_{}", ::getpid());
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string file(const char* name, const std::string& content) {
    const std::string path = directory_ / name;
    write_file_atomic(path, content);
    return path;
  }
  std::string path(const char* name) const { return directory_ / name; }

 private:
  std::filesystem::path directory_;
};
using Jsonl = Scratch;
using Csv = Scratch;
using Files = Scratch;

#define EXPECT_REFUSED(action, reason)                                   \
  EXPECT_NE(message_of([&] { action; }).find(reason), std::string::npos) \
      << message_of([&] { action; })

std::string shared_data() {
  const char* from_environment = std::getenv("ALAMBIC_DATA");
  return from_environment != nullptr ? from_environment : ALAMBIC_SOURCE_DIR "/../shared/data";
}

TEST_F(Jsonl, UsualNamesAreUnderstood) {
  const struct {
    const char* row;
    Example want;
  } cases[] = {
      {R"({"prompt":"p","completion":"c"})", {"p", "c", "1"}},
      {R"({"prompt":"p","reference":"c","id":7})", {"p", "c", "7"}},
      {R"({"question":"p","answer":"c"})", {"p", "c", "1"}},
      {R"({"instruction":"p","input":"","output":"c"})", {"p", "c", "1"}},
      {R"({"instruction":"p","input":"q","response":"c"})", {"p\nq", "c", "1"}},
      {R"({"text":"t"})", {"", "t", "1"}},
      {R"({"story":"t"})", {"", "t", "1"}},
      {R"({"text":"t","label":3})", {"t", "3", "1"}},
      {R"({"prompt":"p"})", {"p", "", "1"}},
      {R"("t")", {"", "t", "1"}},
  };
  for (const auto& item : cases) {
    EXPECT_EQ(parse_jsonl(item.row, "x"), std::vector{item.want}) << item.row;
  }
}

TEST_F(Jsonl, NamedFieldsWinAndBlankLinesCountAsLines) {
  const auto rows =
      parse_jsonl("\n{\"a\":\"1\",\"b\":true,\"prompt\":\"no\"}\r\n\n", "x", {"a", "b"});
  EXPECT_EQ(rows, (std::vector<Example>{{"1", "true", "2"}}));
}

TEST_F(Jsonl, BadRowsNameFileAndLine) {
  EXPECT_REFUSED(parse_jsonl("{\"prompt\":\"p\"}\n{\"prompt\"", "x.jsonl"), "[x.jsonl:2]");
  EXPECT_REFUSED(parse_jsonl("[1]", "x.jsonl"), "want an object");
  EXPECT_REFUSED(parse_jsonl("{\"prompt\":[\"p\"]}", "x.jsonl"), "want a string");
  EXPECT_REFUSED(parse_jsonl("{\"other\":\"p\"}", "x.jsonl"), "neither a prompt nor a text");
  EXPECT_REFUSED(parse_jsonl("{\"other\":\"p\"}", "x.jsonl", {"q", ""}), "the row has other");
}

TEST_F(Jsonl, WrittenRowsReadBackAsTheyWere) {
  const std::vector<Example> rows = {{"a \"quoted\"\nline", "é", "x1"}, {"", "text", "2"}};
  write_jsonl(path("rows.jsonl"), rows);
  EXPECT_EQ(read_examples({"auto", path("rows.jsonl"), "", "", "", 0}), rows);
}

TEST_F(Csv, QuotesCommasAndLineBreaksAreData) {
  const auto rows =
      parse_csv("text,category\r\n\"a, \"\"b\"\"\r\nc\",x\r\n\r\nplain \"quote\",\"\"\r\nlast,y",
                "x", "", "");
  EXPECT_EQ(rows,
            (std::vector<Example>{
                {"a, \"b\"\r\nc", "x", "2"}, {"plain \"quote\"", "", "5"}, {"last", "y", "6"}}));
}

TEST_F(Csv, ColumnsAreFoundByName) {
  const std::string text = "id,label,question\n1,yes,why\n";
  EXPECT_EQ(parse_csv(text, "x", "", ""), (std::vector<Example>{{"why", "yes", "2"}}));
  EXPECT_EQ(parse_csv(text, "x", "id", "question"), (std::vector<Example>{{"1", "why", "2"}}));
  EXPECT_REFUSED(parse_csv(text, "x.csv", "nope", ""), "no column \"nope\"; got id, label");
}

TEST_F(Csv, BrokenRowsNameTheLineTheyStartOn) {
  EXPECT_REFUSED(parse_csv("a,b\n1,2\n\"x\n\ny", "x.csv", "", ""), "[x.csv:3] a quoted field");
  EXPECT_REFUSED(parse_csv("a,b\n\"x\n\"\"\",2\n1,2,3\n", "x.csv", "", ""),
                 "[x.csv:4] has 3 fields");
  EXPECT_REFUSED(parse_csv("a,b\n\"x\"y,2", "x.csv", "", ""), "[x.csv:2] field 1");
  EXPECT_REFUSED(parse_csv("", "x.csv", "", ""), "is empty");
  EXPECT_REFUSED(parse_csv("only\nx\n", "x.csv", "", ""), "want at least 2");
}

TEST_F(Files, ParallelLinesPairUpPlainOrGzip) {
  const std::string source = file("a.en", "one\ntwo \n\nfour\n");
  const std::string target = path("a.fr.gz");
  gzFile gz = gzopen(target.c_str(), "wb");
  gzputs(gz, "un\ndeux\ntrois\nquatre\n");
  gzclose(gz);
  std::vector<LeftOut> left_out;
  EXPECT_EQ(
      read_examples({.path = source, .target_path = target}, &left_out),
      (std::vector<Example>{{"one", "un", "1"}, {"two", "deux", "2"}, {"four", "quatre", "4"}}));
  EXPECT_EQ(left_out, (std::vector<LeftOut>{{LeftOut::Reason::kEmptyPrompt, source + ":3", ""}}));
  EXPECT_REFUSED(read_examples({.path = source, .target_path = file("b", "x\n")}),
                 "has 1 lines; want 4");
}

TEST_F(Files, TaggedWordsBecomeCompactJson) {
  file("t.seq.in", "play westbam and big  bang \nhello\nx y\n");
  file("t.seq.out", "O B-artist O B-artist I-artist\nO\nI-b B-a\n");
  file("t.label", "PlayMusic\nGreet\nI\n");
  const auto rows = read_examples({"auto", path("t"), "", "", "", 0});
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].prompt, "play westbam and big bang");
  EXPECT_EQ(rows[0].completion,
            R"({"intent":"PlayMusic","slots":{"artist":["westbam","big bang"]}})");
  EXPECT_EQ(rows[1].completion, R"({"intent":"Greet","slots":{}})");
  EXPECT_EQ(rows[2].completion, R"({"intent":"I","slots":{"b":"x","a":"y"}})");
  file("t.seq.out", "O B-artist O\nO\nO O\n");
  EXPECT_REFUSED(read_examples({.path = path("t")}), "t.seq.out:1] has 3 tags for 5 words");
  file("t.seq.out", "O O O O Z\nO\nO O\n");
  EXPECT_REFUSED(read_examples({.path = path("t")}), "tag \"Z\"");
}

TEST_F(Files, FormatFollowsTheNameAndLimitCuts) {
  const std::string list = file("s.json", R"(["one", {"story": "two"}, {"text": "three"}])");
  EXPECT_EQ(read_examples({"auto", list, "", "", "", 2}),
            (std::vector<Example>{{"", "one", "1"}, {"", "two", "2"}}));
  const std::string text = file("t.txt",
                                "\xef\xbb\xbf"
                                "first\n\n second\n");
  EXPECT_EQ(read_examples({"auto", text, "", "", "", 0}),
            (std::vector<Example>{{"", "first", "1"}, {"", "second", "3"}}));
  EXPECT_REFUSED(read_examples({"auto", file("t.xyz", "x"), "", "", "", 0}), "set it to jsonl");
  EXPECT_REFUSED(read_examples({"auto", path("absent"), "", "", "", 0}), "does not exist");
  EXPECT_REFUSED(read_examples({"auto", path("absent.csv"), "", "", "", 0}), "absent.csv");
  EXPECT_REFUSED(read_examples({"xml", text, "", "", "", 0}), "format \"xml\"");
  EXPECT_REFUSED(read_examples({"auto", file("e.jsonl", "\n"), "", "", "", 0}), "no examples");
  EXPECT_REFUSED(read_examples({"auto", file("o.json", "{}"), "", "", "", 0}), "want a list");
  EXPECT_REFUSED(read_examples({"auto", "", "", "", "", 0}), "no path");
}

TEST_F(Files, RealDataSetsHaveTheirPublishedSizes) {
  const std::string data = shared_data();
  if (!file_exists(data + "/snips")) GTEST_SKIP() << "no shared data at " << data;
  const auto snips = read_examples({"auto", data + "/snips/valid", "", "", "", 0});
  EXPECT_EQ(snips.size(), 700U);
  for (const Example& row : snips) {
    EXPECT_FALSE(parse_json(row.completion, "snips").at("intent").get<std::string>().empty());
  }
  EXPECT_EQ(read_examples({"auto", data + "/multi30k_enfr/val.en.gz",
                           data + "/multi30k_enfr/val.fr.gz", "", "", 0})
                .size(),
            1014U);
  const auto banking = read_examples({"auto", data + "/banking77/train.csv", "", "", "", 0});
  EXPECT_EQ(banking.size(), 10003U);
  std::set<std::string> labels;
  for (const Example& row : banking) labels.insert(row.completion);
  EXPECT_EQ(labels.size(), 77U);
  EXPECT_EQ(read_examples({"auto", data + "/tinystories/tinystories_first900.json", "", "", "", 0})
                .size(),
            900U);
  EXPECT_EQ(read_examples({"auto", data + "/gsm8k/dev.jsonl", "", "", "", 0}).size(), 500U);
}

std::vector<Example> numbered(int count) {
  std::vector<Example> rows;
  for (int i = 0; i < count; ++i) {
    rows.push_back({"prompt " + std::to_string(i), "c", std::to_string(i)});
  }
  return rows;
}

TEST(Split, SharesAreMetAndEqualPromptsStayTogether) {
  std::vector<Example> rows = numbered(4000);
  for (int i = 0; i < 4000; ++i) rows.push_back({" Prompt\t" + std::to_string(i) + "\n", "d", ""});
  const Splits splits = split_by_prompt(rows, {0.1, 0.2, 3});
  // Binomial: five standard deviations of 4000 prompts are 2.4 and 3.2 points.
  EXPECT_NEAR(static_cast<double>(splits.validation.size()) / 8000, 0.1, 0.024);
  EXPECT_NEAR(static_cast<double>(splits.test.size()) / 8000, 0.2, 0.032);
  std::set<std::string> held_out;
  for (const Example& row : splits.test) {
    if (row.completion == "c") held_out.insert(row.prompt);
  }
  EXPECT_EQ(held_out.size() * 2, splits.test.size());
  for (const Example& row : splits.train) EXPECT_EQ(held_out.count(row.prompt), 0U);
}

TEST(Split, APartDoesNotDependOnOtherRowsButOnTheSeed) {
  const Splits all = split_by_prompt(numbered(1000), {0.1, 0.1, 1});
  const Splits half = split_by_prompt(numbered(500), {0.1, 0.1, 1});
  EXPECT_TRUE(std::equal(half.test.begin(), half.test.end(), all.test.begin()));
  EXPECT_NE(split_by_prompt(numbered(1000), {0.1, 0.1, 2}).test, all.test);
  EXPECT_THROW(split_by_prompt(numbered(1), {0.5, 0.5, 1}), Error);
  EXPECT_THROW(split_by_prompt(numbered(1), {-0.1, 0.5, 1}), Error);
}

TEST(Split, ExactDuplicatesGoAndTheFirstStays) {
  std::vector<LeftOut> left_out;
  const auto rows = remove_duplicates(
      {{"a", "b", "1"}, {"a", "b", "2"}, {"a", "c", "3"}, {"ab", "", "4"}, {"", "ab", "5"}},
      left_out);
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(left_out, (std::vector<LeftOut>{{LeftOut::Reason::kDuplicate, "row 2", "of row 1"}}));
  EXPECT_EQ(rows[0].id, "1");
}

}  // namespace
}  // namespace alambic
