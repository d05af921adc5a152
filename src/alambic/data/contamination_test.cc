#include "alambic/data/contamination.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "alambic/base/file.h"
#include "alambic/data/data_report.h"
#include "alambic/data/test_errors.h"
#include "alambic/data/trained_on.h"

namespace alambic {
namespace {

// Different words, spelled by a number.
std::string words(int first, int count) {
  std::string text;
  for (int i = first; i < first + count; ++i) {
    std::string word = "w";
    for (int rest = i + 26; rest > 0; rest /= 26) word += static_cast<char>('a' + rest % 26);
    text += (text.empty() ? "" : " ") + word;
  }
  return text;
}

Example row(std::string prompt) { return {.prompt = std::move(prompt), .completion = "c"}; }

struct Found {
  Contamination found;
  size_t left = 0;
};

Found look(const std::vector<std::string>& held, const std::vector<std::string>& training) {
  std::vector<Example> held_out, rows;
  for (const auto& text : held) held_out.push_back(row(text));
  for (const auto& text : training) rows.push_back(row(text));
  HeldOutPrompts prompts(held_out);
  std::vector<LeftOut> left_out;
  prompts.take_out(rows, left_out);
  EXPECT_EQ(left_out.size(), static_cast<size_t>(prompts.found().rows_removed));
  return {prompts.found(), rows.size()};
}

TEST(Contamination, LayoutCaseAndPunctuationHideNothing) {
  const char* same[] = {
      "Where is the quick brown fox, and who saw it jump?",
      "where is the\nquick  brown FOX and who saw it jump",
      "\"Where is the ‘quick’ brown fox\" — and who saw it jump…",
      "Ｗｈｅｒｅ is the quick brown\u00a0fox; and who saw it jump!",
  };
  for (const char* text : same) EXPECT_EQ(words_key(text), words_key(same[0])) << text;
  EXPECT_EQ(words_key("don't"), words_key("don’t"));
  EXPECT_NE(words_key("a b"), words_key("ab"));
  EXPECT_NE(words_key("a b"), words_key("b a"));
}

TEST(Contamination, SumsStayApart) {
  EXPECT_NE(words_key("3 + 4"), words_key("3 * 4"));
  EXPECT_NE(words_key("12-4"), words_key("12 4"));
  EXPECT_NE(words_key("1.5"), words_key("15"));
  EXPECT_EQ(words_key("well-known"), words_key("well known"));
  EXPECT_EQ(words_key("3 + 4 ="), words_key("3+4 = "));
  EXPECT_NE(words_key("x - 3"), words_key("x 3"));
  EXPECT_NE(words_key("at -3 degrees"), words_key("at 3 degrees"));
  EXPECT_NE(words_key("20% of 50"), words_key("20 of 50"));
}

TEST(Contamination, DashesOfAllKindsAreOne) {
  for (const char* dash : {"\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212", "\uff0d"}) {
    EXPECT_EQ(words_key(fmt::format("pages 3{0}5, 9 {0} 4", dash)), words_key("pages 3-5, 9 - 4"));
    EXPECT_EQ(words_key(fmt::format("well{0}known", dash)), words_key("well known"));
  }
}

TEST(Contamination, MarksOfListsAreNoSigns) {
  const uint64_t plain = words_key("Buy 3 eggs, 4 pears and 5 figs");
  EXPECT_EQ(words_key("Buy\n- 3 eggs\n- 4 pears\n- and 5 figs"), plain);
  EXPECT_EQ(words_key("Buy\n* 3 eggs\n* 4 pears\n* and 5 figs"), plain);
  EXPECT_EQ(words_key("Buy - 3 eggs - 4 pears - and 5 figs"), plain);
}

TEST(Contamination, CapitalsOfOtherAlphabetsAndSymbolsHideNothing) {
  EXPECT_EQ(words_key("Große Straße"), words_key("GROSSE STRASSE"));
  EXPECT_EQ(words_key("ο κόσμος μας"), words_key("Ο ΚΌΣΜΟΣ ΜΑΣ"));
  EXPECT_EQ(words_key("5€ at 20°C"), words_key("5 € at 20 °C"));
  EXPECT_EQ(words_key("I don´t"), words_key("I don't"));
  EXPECT_EQ(words_key("I don′t"), words_key("I don't"));
}

TEST(Contamination, CharactersAreTheWordsOfScriptsWithoutBlanks) {
  EXPECT_EQ(word_hashes("日本語").size(), 3U);
  EXPECT_EQ(word_hashes("ไทย").size(), 3U);
  EXPECT_EQ(words_key("今日は、晴れ。"), words_key("今日は 晴れ"));
  EXPECT_EQ(word_hashes("ÉTÉ").size(), 1U);
  EXPECT_EQ(words_key("ÉTÉ"), words_key("été"));
}

TEST(Contamination, HalfOfATestPromptTakesARowOut) {
  const std::string held = words(0, 24);  // 12 sequences of 13 words
  // 18 of its words are 6 sequences, half of them; 17 are 5.
  EXPECT_EQ(look({held}, {words(0, 18) + " other words"}).left, 0U);
  const Found less = look({held}, {words(0, 17) + " other words"});
  EXPECT_EQ(less.left, 1U);
  EXPECT_EQ(less.found, (Contamination{1, 1, 1, 0}));
  EXPECT_EQ(look({held}, {words(0, 12)}).found, (Contamination{1, 0, 0, 0}));
  EXPECT_EQ(look({held}, {"before " + held + " behind", words(100, 24)}).found,
            (Contamination{1, 1, 1, 1}));
}

TEST(Contamination, ShorterPromptsAreLookedForWhole) {
  EXPECT_EQ(look({words(0, 9)}, {"please: " + words(0, 9) + "?"}).left, 0U);
  EXPECT_EQ(look({words(0, 9)}, {words(0, 8)}).left, 1U);
  EXPECT_EQ(look({"is it red"}, {"Is it red?", "is it red or blue"}).left, 1U);
}

TEST(Contamination, AFormThatTestPromptsShareSaysNothing) {
  std::vector<std::string> held, training;
  for (int i = 0; i < 20; ++i) held.push_back(words(0, 30) + " " + words(1000 + 20 * i, 10));
  for (int i = 0; i < 30; ++i) training.push_back(words(0, 30) + " " + words(5000 + 20 * i, 10));
  EXPECT_EQ(look(held, training).found, (Contamination{20, 0, 0, 0}));
  training.push_back(held[3]);
  EXPECT_EQ(look(held, training).found, (Contamination{20, 1, 1, 1}));
}

TEST(Contamination, TextsWithoutPromptsAreComparedThemselves) {
  HeldOutPrompts held(std::vector<Example>{{.completion = words(0, 40)}});
  std::vector<Example> rows = {{.completion = words(0, 40)}, {.completion = words(50, 40)}};
  std::vector<LeftOut> left_out;
  held.take_out(rows, left_out);
  EXPECT_EQ(rows.size(), 1U);
}

TEST(TrainedOn, TheRecordKnowsFilesAndRowsAgain) {
  const auto directory =
      std::filesystem::temp_directory_path() / fmt::format("alambic_trained_{}", ::getpid());
  std::filesystem::create_directories(directory);
  const std::string file = directory / "rows.jsonl";
  write_file_atomic(file, "some bytes");
  EXPECT_FALSE(seen_in_training(directory, file, {}).has_value());
  const std::vector<Example> learned = {row("One thing."), row("Another thing")};
  save_trained_on(directory, std::vector<std::string>{file}, learned);
  const auto seen = seen_in_training(
      directory, file, std::vector<Example>{row("one thing"), row("new"), row("another\nthing")});
  ASSERT_TRUE(seen.has_value());
  EXPECT_TRUE(seen->same_file);
  EXPECT_EQ(seen->rows, 2);
  write_file_atomic(file, "same_bytes");
  EXPECT_FALSE(seen_in_training(directory, file, {})->same_file);
  write_file_atomic((directory / kTrainedOnFile).string(), R"({"prompts": "12x"})");
  EXPECT_NE(message_of([&] { seen_in_training(directory, file, {}); }).find("no list of hashes"),
            std::string::npos);
  std::filesystem::remove_all(directory);
}

TEST(DataReport, ComesBackFromJsonAndNamesTheFirstRows) {
  DataReport report{.read = 9, .train = 3, .prompts = 1, .validation = 0, .test = 2};
  for (int i = 1; i <= 4; ++i) {
    report.left_out.add(LeftOut{LeftOut::Reason::kTooLong, fmt::format("d:{}", i), ""});
  }
  report.left_out.add(LeftOut{LeftOut::Reason::kDuplicate, "d:7", "of d:1"});
  report.in_test = {2, 1, 1, 1};
  EXPECT_EQ(data_report_from_json(to_json(report), "r"), report);
  const std::vector<std::string> lines = in_words(report);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0],
            "data: 3 rows to learn from, 1 prompt for the teacher to answer, 0 for validation, 2 "
            "to test on");
  EXPECT_EQ(lines[1], "left out: 4 too long: d:1, d:2, d:3, …");
  EXPECT_EQ(lines[2], "left out: 1 duplicate: d:7 (of d:1)");
  EXPECT_EQ(to_json(DataReport{}), nullptr);
}

}  // namespace
}  // namespace alambic
