// The rows that a built-in source makes up: whose they are, and that no two parts share one.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "alambic/base/error.h"
#include "alambic/distill/run.h"

namespace alambic {
namespace {

RunData rows_of(const std::vector<std::string>& settings) {
  std::vector<std::string> all = {"data.limit=30", "data.validation=20", "data.test_limit=25",
                                  "data.unlabelled=40", "teacher.rows=50"};
  all.insert(all.end(), settings.begin(), settings.end());
  return load_run_data(parse_recipe("", "test", all));
}

TEST(RunData, LabelledRowsPromptsAndThoseOfTheTeacherShareNoPrompt) {
  const std::vector<std::vector<std::string>> sources = {
      {"data.source=support-mail"}, {"data.source=multiplication", "data.digits=3", "task=exact"}};
  for (const std::vector<std::string>& source : sources) {
    const RunData data = rows_of(source);
    EXPECT_EQ(data.train.size(), 30U);
    EXPECT_EQ(data.prompts.size(), 40U);
    EXPECT_EQ(data.teacher_rows.size(), 50U);
    EXPECT_EQ(data.validation.size(), 20U);
    EXPECT_EQ(data.test.size(), 25U);
    std::set<std::string> prompts;
    for (const auto* part :
         {&data.train, &data.prompts, &data.teacher_rows, &data.validation, &data.test}) {
      for (const Example& row : *part) {
        EXPECT_TRUE(prompts.insert(row.prompt).second) << row.prompt;
        EXPECT_EQ(row.completion.empty(), part == &data.prompts) << row.prompt;
      }
    }
  }
}

TEST(RunData, TheOwnersRowsAreTheSameWhateverTheTeacherSees) {
  const RunData data = rows_of({});
  const RunData more = rows_of({"data.unlabelled=60", "teacher.rows=5"});
  const RunData alone = rows_of({"data.unlabelled=0", "teacher.rows=0"});
  EXPECT_EQ(data.train, more.train);
  EXPECT_EQ(data.train, alone.train);
  EXPECT_EQ(data.test, alone.test);
  EXPECT_TRUE(std::equal(data.prompts.begin(), data.prompts.end(), more.prompts.begin()));
  EXPECT_TRUE(alone.prompts.empty() && alone.teacher_rows.empty());
}

TEST(RunData, TheReportSaysWhoSeesWhat) {
  const RunData data = rows_of({});
  EXPECT_EQ(in_words(data.report).front(),
            "data: 30 rows to learn from, 40 prompts for the teacher to answer, 50 rows that only "
            "the teacher sees, 20 for validation, 25 to test on");
  EXPECT_EQ(data_report_from_json(to_json(data.report), "test"), data.report);
}

TEST(RunData, TheVocabularyIsMadeOfTheOwnersMailsAlone) {
  const std::vector<std::string> small = {"vocabulary=400"};
  const RunData data = rows_of({});
  RunData without_teacher = data;
  without_teacher.teacher_rows.clear();
  RunData without_prompts = data;
  without_prompts.prompts.clear();
  const Recipe recipe = parse_recipe("", "test", small);
  const std::string hash = train_run_tokenizer(recipe, data).hash();
  EXPECT_EQ(train_run_tokenizer(recipe, without_teacher).hash(), hash);
  EXPECT_NE(train_run_tokenizer(recipe, without_prompts).hash(), hash);
}

// Of a file without a test file, every row is for something.
TEST(RunData, WhatAShareHoldsBeyondItsLimitIsLearned) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("alambic_rows_" + std::to_string(::getpid())))
          .string() +
      ".jsonl";
  {
    std::ofstream file(path);
    for (int i = 0; i < 200; ++i)
      file << R"({"prompt": "question )" << i << R"(", "completion": "answer"})"
           << "\n";
  }
  const RunData data = load_run_data(
      parse_recipe("", "test", {"data.train=" + path, "data.validation=7", "data.test_limit=11"}));
  EXPECT_LE(data.validation.size(), 7U);
  EXPECT_LE(data.test.size(), 11U);
  EXPECT_EQ(data.train.size() + data.validation.size() + data.test.size(), 200U);
  EXPECT_EQ(data.report.beyond_limit, 0);
  std::filesystem::remove(path);
}

TEST(RunData, QuestionsAreNotAskedOfTextsWithoutAny) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("alambic_texts_" + std::to_string(::getpid())))
          .string() +
      ".txt";
  {
    std::ofstream file(path);
    for (int i = 0; i < 40; ++i) file << "a line of text, number " << i << "\n";
  }
  const std::string train = "data.train=" + path;
  EXPECT_THROW(load_run_data(parse_recipe("", "test", {train, "task=exact"})), Error);
  EXPECT_FALSE(load_run_data(parse_recipe("", "test", {train, "task=perplexity"})).train.empty());
  std::filesystem::remove(path);
}

TEST(RunData, MoreRowsThanCanBeCountedAreRefused) {
  EXPECT_THROW(rows_of({"data.unlabelled=2000000000", "teacher.rows=2000000000"}), Error);
}

}  // namespace
}  // namespace alambic
