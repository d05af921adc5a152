// Files as people have them: what is read, what is left out and why, and what errors suggest.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "alambic/base/file.h"
#include "alambic/data/readers.h"
#include "alambic/data/test_errors.h"
#include "alambic/data/text_encoding.h"

namespace alambic {
namespace {

using Reason = LeftOut::Reason;

class Rows : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        std::filesystem::temp_directory_path() / fmt::format("alambic_rows_{}", ::getpid());
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  DataSource file(const char* name, const std::string& content) {
    DataSource source;
    source.path = directory_ / name;
    write_file_atomic(source.path, content);
    return source;
  }
  std::string refusal(const DataSource& source) {
    return message_of([&] { read_examples(source); });
  }

 private:
  std::filesystem::path directory_;
};

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(Rows, EmptyNullAndAbsentAreAlike) {
  std::vector<LeftOut> left_out;
  const DataSource source = file("d.jsonl",
                                 "{\"prompt\":\"a\",\"completion\":\"b\"}\n"
                                 "{\"prompt\":\"p\"}\n"
                                 "{\"prompt\":\"p\",\"completion\":null}\n"
                                 "{\"prompt\":\"p\",\"completion\":\" \"}\n"
                                 "{\"prompt\":null,\"completion\":\"c\"}\n"
                                 "{\"prompt\":\"\",\"completion\":\"c\"}\n"
                                 "{\"completion\":\"c\"}\n"
                                 "{\"prompt\":\" \",\"completion\":\"\"}\n"
                                 "{\"text\":\"alone\"}\n");
  const auto rows = read_examples(source, &left_out);
  ASSERT_EQ(rows.size(), 5U);
  for (size_t i = 1; i < 4; ++i) EXPECT_EQ(rows[i].completion, "") << i;
  EXPECT_EQ(rows[4].completion, "alone");
  ASSERT_EQ(left_out.size(), 4U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(left_out[i],
              (LeftOut{Reason::kEmptyPrompt, source.path + fmt::format(":{}", i + 5), ""}));
  }
  EXPECT_EQ(left_out[3].reason, Reason::kNoAnswer);
  // Where nobody asks, completions are texts.
  EXPECT_EQ(read_examples(file("t.jsonl", "{\"prompt\":\"\",\"completion\":\"c\"}")).size(), 1U);
}

TEST_F(Rows, NamesThatAreNearlyKnownAreSuggested) {
  EXPECT_EQ(refusal(file("a.jsonl", "{\"prompt\":\"p\",\"target\":\"t\"}\n")).substr(0, 1), "[");
  const struct {
    const char *row, *want;
  } cases[] = {
      {R"({"prompt":"p","target":"t"})", ":1] no \"completion\"; found \"target\": set data."},
      {R"({"prompt":"p","Completion":"t"})", "data.completion_field = \"Completion\""},
      {R"({"prompt":"p","compeltion":"t"})", "data.completion_field = \"compeltion\""},
      {R"({"prompt":"p","answer_text":"t"})", "data.completion_field = \"answer_text\""},
      {R"({"promt":"p","answer":"t"})", "no \"prompt\"; found \"promt\": set data.prompt_field"},
      {R"({"input":"p","output":"t"})", "data.prompt_field = \"input\""},
      {R"({"Prompt":"p","Target":"t"})", "data.completion_field = \"Target\""},
  };
  for (const auto& c : cases) EXPECT_SAYS(refusal(file("d.jsonl", c.row)), c.want);
  // A row that answers shows that the names are meant as they are.
  EXPECT_EQ(read_examples(file("d.jsonl",
                               "{\"prompt\":\"p\",\"target\":\"t\"}\n"
                               "{\"prompt\":\"p\",\"answer\":\"t\"}\n"))
                .size(),
            2U);
  EXPECT_EQ(read_examples(file("d.jsonl", R"({"prompt":"p","language":"en"})")).size(), 1U);
  DataSource asked = file("d.jsonl", R"({"prompt":"p","target":"t"})");
  asked.completion_field = "target";
  EXPECT_EQ(read_examples(asked)[0].completion, "t");
}

TEST_F(Rows, NumbersStayAsTheyAreWritten) {
  const auto rows =
      read_examples(file("d.jsonl",
                         "{\"id\":12345678901234567890123,\"prompt\":1e3,\"completion\":1.0}\n"
                         "{\"prompt\":1000,\"completion\":-0.10}\n"));
  EXPECT_EQ(rows[0].id, "12345678901234567890123");
  EXPECT_EQ(rows[0].prompt + " " + rows[0].completion, "1e3 1.0");
  EXPECT_EQ(rows[1].prompt + " " + rows[1].completion, "1000 -0.10");
}

TEST_F(Rows, ToolsKeepTheirOrderAndDigitsThroughAFile) {
  const std::string tools =
      R"([{"type":"function","function":{"z":20000000000000000000001,"a":{"y":1,"b":1e2}}}])";
  const auto rows = read_examples(
      file("d.jsonl", R"({"messages":[{"role":"user","content":"u"}],"tools":)" + tools + "}"));
  EXPECT_EQ(dump_json(rows[0].tools), tools);
  const DataSource copy = file("copy.jsonl", "");
  write_jsonl(copy.path, rows);
  EXPECT_EQ(dump_json(read_examples(copy)[0].tools), tools);
}

TEST_F(Rows, TablesOfEverySeparator) {
  for (const char* table : {"prompt;completion\na, b;c\n", "prompt\tcompletion\r\na, b\tc\r\n",
                            "prompt|completion\na, b|c\n", "sep=;\nprompt;completion\na, b;c\n",
                            "\"prompt\";\"completion\"\n\"a, b\";c\n"}) {
    const auto rows = read_examples(file("t.csv", table));
    ASSERT_EQ(rows.size(), 1U) << table;
    EXPECT_EQ(rows[0].prompt + ">" + rows[0].completion, "a, b>c") << table;
  }
  EXPECT_EQ(read_examples(file("t.tsv", "prompt\tcompletion\na;b;c\td\n"))[0].prompt, "a;b;c");
  EXPECT_SAYS(refusal(file("t.csv", "prompt;completion\na;b\nc;d;e\n")), "t.csv:3] has 3 fields");
}

TEST_F(Rows, ColumnsOfATableAreNotGuessedAgainstTheirNames) {
  EXPECT_SAYS(refusal(file("t.csv", "id,Prompt,Completion\n1,a,b\n")), "found \"Prompt\"");
  EXPECT_SAYS(refusal(file("t.csv", "id,question,target\n1,a,b\n")), "found \"target\"");
  EXPECT_SAYS(refusal(file("t.csv", "id,question,rest\n1,a,b\n")), "no column for the completion");
  EXPECT_EQ(read_examples(file("t.csv", "id,prompt\n1,a\n"))[0].completion, "");
  EXPECT_EQ(read_examples(file("t.csv", "text\nonly\n"))[0].completion, "only");
  std::vector<LeftOut> left_out;
  EXPECT_EQ(read_examples(file("t.csv", "prompt,completion\n,b\na,\n,\nc,d\n"), &left_out).size(),
            2U);
  EXPECT_EQ(left_out.size(), 2U);
}

TEST_F(Rows, JsonInTheWrongFileSaysWhatItIs) {
  EXPECT_SAYS(refusal(file("d.jsonl", "[\n {\"prompt\": \"p\"}\n]\n")), "d.jsonl:1] is the begin");
  EXPECT_SAYS(refusal(file("d.jsonl", "{\n \"prompt\": \"p\"\n}\n")), "object over several lines");
  EXPECT_SAYS(refusal(file("d.jsonl", "[{\"prompt\": \"p\"}]\n")), "format json");
  EXPECT_SAYS(refusal(file("d.json", "{\"prompt\": \"p\"}\n{\"prompt\": \"q\"}\n")), ".jsonl");
  EXPECT_SAYS(refusal(file("d.jsonl", "{\"prompt\": \"\\ud83d\"}\n")), "d.jsonl:1] not valid JSON");
  EXPECT_SAYS(refusal(file("d.jsonl", std::string(1000, '['))), "d.jsonl:1]");
  EXPECT_EQ(read_examples(file("d.jsonl", "\xef\xbb\xbf{\"prompt\":\"p\"}\r\n\r\n")).size(), 1U);
}

TEST_F(Rows, EncodingsAreReadByNameAndNamedWhereTheyAreNot) {
  const std::string latin = "{\"prompt\":\"caf\xe9\",\"completion\":\"c\"}\n";
  DataSource source = file("d.jsonl", "{\"prompt\":\"a\"}\n" + latin);
  EXPECT_SAYS(refusal(source), "d.jsonl:2] is not UTF-8 at byte ");
  EXPECT_SAYS(refusal(source), "looks like windows-1252: set data.encoding = \"windows-1252\"");
  for (const char* name : {"latin-1", "ISO-8859-1", "windows-1252", "cp1252"}) {
    source.encoding = name;
    EXPECT_EQ(read_examples(source)[1].prompt, "café") << name;
  }
  source.encoding = "ebcdic";
  EXPECT_SAYS(refusal(source), "encoding \"ebcdic\"; want utf-8, latin-1");
  std::string wide = "\xff\xfe", big;
  for (const char c : std::string_view("{\"prompt\":\"a\"}\n")) {
    wide += std::string{c, '\0'};
    big += std::string{'\0', c};
  }
  source = file("w.jsonl", wide);
  EXPECT_SAYS(refusal(source), "byte order mark of UTF-16: set data.encoding = \"utf-16\"");
  source.encoding = "utf-16";
  EXPECT_EQ(read_examples(source)[0].prompt, "a");
  source = file("b.jsonl", big);
  EXPECT_SAYS(refusal(source), "utf-16be");
  source.encoding = "UTF-16BE";
  EXPECT_EQ(read_examples(source)[0].prompt, "a");
}

TEST(Encoding, Windows1252AndBrokenTextsAreToldApart) {
  EXPECT_EQ(decode_text("\x93so\x94 \x80", "windows-1252", "f"), "“so” €");
  const auto says = [](const std::string& bytes, const char* encoding) {
    return message_of([&] { decode_text(bytes, encoding, "f"); });
  };
  EXPECT_SAYS(says("a\n\x81", "windows-1252"), "[f:2] is not Windows-1252");
  EXPECT_SAYS(says("\xc3\xa9\xc3\xa8 \xe9 \xc3\xa9", "utf-8"), "the rest of the file is UTF-8");
  EXPECT_SAYS(says("x\x81", "utf-8"), "neither is it Windows-1252");
  EXPECT_SAYS(says("abc", "utf-16"), "odd number of bytes");
  EXPECT_SAYS(says(std::string("\x00\xd8", 2), "utf-16le"), "surrogate");
  EXPECT_EQ(decode_text("\xef\xbb\xbfx", "utf-8", "f"), "x");
}

TEST(Encoding, ByteOrdersThatDoNotFitAreRefused) {
  const std::string big("\0a\0b\0c", 6), little("a\0b\0c\0", 6);
  const auto says = [](const std::string& bytes, const char* encoding) {
    return message_of([&] { decode_text(bytes, encoding, "f"); });
  };
  EXPECT_SAYS(says(big, "utf-16"), "set data.encoding = \"utf-16be\"");
  EXPECT_SAYS(says(little, "utf-16be"), "set data.encoding = \"utf-16le\"");
  EXPECT_EQ(decode_text(big, "utf-16be", "f"), "abc");
  EXPECT_EQ(decode_text(little, "utf-16", "f"), "abc");
}

TEST(Encoding, CarriageReturnsAloneEndLines) {
  EXPECT_EQ(decode_text("a,b\rc,d\r", "utf-8", "f"), "a,b\nc,d\n");
  EXPECT_EQ(decode_text("a\r\nb\rc\n", "latin-1", "f"), "a\r\nb\rc\n");
}

TEST_F(Rows, ColumnsOfOneNameAreRefused) {
  EXPECT_SAYS(refusal(file("d.csv", "prompt,completion,prompt\na,b,c\n")),
              "several columns called \"prompt\"");
  EXPECT_EQ(read_examples(file("e.csv", "prompt,completion,x,x\na,b,c,d\n")).size(), 1U);
}

}  // namespace
}  // namespace alambic
