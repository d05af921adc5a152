#include "alambic/eval/linear_classifier.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/base/rng.h"
#include "alambic/base/thread_pool.h"
#include "alambic/eval/score.h"

namespace alambic {
namespace {

using Texts = std::vector<std::string>;

// Sentences of one of three nouns.
std::pair<Texts, Texts> noun_rows(int count) {
  std::pair<Texts, Texts> rows;
  Rng rng(2);
  const Texts nouns = {"parcel", "invoice", "password"};
  const Texts fill = {"please", "help", "with", "my", "again", "today", "now"};
  for (int i = 0; i < count; ++i) {
    const size_t label = rng.below(3);
    rows.first.push_back(
        fmt::format("{} {} {}", fill[rng.below(7)], nouns[label], fill[rng.below(7)]));
    rows.second.push_back(nouns[label]);
  }
  return rows;
}

std::string temporary(const std::string& name) {
  const std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("alambic_{}_{}", name, ::getpid()))
          .string();
  std::filesystem::remove_all(path);
  return path;
}

std::string saved(const LinearClassifier& model) {
  const std::string directory = temporary("linear");
  model.save(directory);
  std::string bytes = read_file(directory + "/linear.safetensors");
  std::filesystem::remove_all(directory);
  return bytes;
}

LinearClassifier parsed(const std::string& bytes) {
  return LinearClassifier::parse(std::as_bytes(std::span(bytes)), "test");
}

TEST(LinearClassifier, SeparatesSentencesByTheirWords) {
  const auto [texts, labels] = noun_rows(300);
  const LinearClassifier model(texts, labels);
  EXPECT_EQ(model.classes().size(), 3U);
  EXPECT_EQ(model.predict("where is the parcel?"), "parcel");
  EXPECT_EQ(model.predict("PASSWORD forgotten"), "password");
  EXPECT_EQ(model.predict("two invoices"), "invoice");
}

TEST(LinearClassifier, WithOneClassAlwaysAnswersIt) {
  const LinearClassifier model(Texts{"a", "b"}, Texts{"only", "only"});
  EXPECT_EQ(model.predict("unseen"), "only");
  EXPECT_EQ(model.predict(""), "only");
}

TEST(LinearClassifier, RefusesUnpairedDataAndTooManyClasses) {
  EXPECT_THROW(LinearClassifier(Texts{"a"}, Texts{}), Error);
  EXPECT_THROW(LinearClassifier(Texts{}, Texts{}), Error);
  Texts many;
  for (int i = 0; i < 2001; ++i) many.push_back(std::to_string(i));
  EXPECT_THROW(LinearClassifier(many, many), Error);
}

TEST(LinearClassifier, WhatWasSavedAnswersAsWhatWasTrained) {
  const auto [texts, labels] = noun_rows(100);
  const LinearClassifier trained(texts, labels, {.learned_from = "the owner's \"labels\""});
  const std::string directory = temporary("linear_whole");
  trained.save(directory);
  const LinearClassifier loaded = LinearClassifier::load(directory);
  std::filesystem::remove_all(directory);
  EXPECT_EQ(loaded.classes(), trained.classes());
  EXPECT_EQ(loaded.rows(), 100);
  EXPECT_EQ(loaded.learned_from(), "the owner's \"labels\"");
  for (const char* text : {"where is the parcel?", "", "nothing known", "INVOICE today"})
    EXPECT_EQ(loaded.log_probabilities(text), trained.log_probabilities(text)) << text;
}

TEST(LinearClassifier, IsTheSameOnAnyNumberOfThreads) {
  const int before = thread_count();
  auto [texts, labels] = noun_rows(60);
  // More classes than are trained side by side.
  for (size_t i = 0; i < labels.size(); ++i) labels[i] += fmt::format("{}", i % 12);
  set_thread_count(1);
  const std::string alone = saved(LinearClassifier(texts, labels));
  set_thread_count(4);
  const std::string together = saved(LinearClassifier(texts, labels));
  set_thread_count(before);
  EXPECT_EQ(alone, together);
}

TEST(LinearClassifier, ItsProbabilitiesAreAsOftenRightAsTheySay) {
  auto [texts, labels] = noun_rows(1200);
  const Texts nouns = {"parcel", "invoice", "password"};
  Rng rng(5);
  for (std::string& label : labels) {
    if (rng.uniform() < 0.3) label = nouns[rng.below(3)];  // 80 % are right
  }
  const LinearClassifier model{std::span(texts).first(600), std::span(labels).first(600)};
  double right = 0, sure = 0;
  for (size_t i = 600; i < 1200; ++i) {
    double sum = 0, most = 0;
    for (const double log : model.log_probabilities(texts[i])) {
      sum += std::exp(log);
      most = std::max(most, std::exp(log));
    }
    EXPECT_NEAR(sum, 1, 1e-9);
    sure += most / 600;
    right += model.predict(texts[i]) == labels[i] ? 1.0 / 600 : 0;
  }
  EXPECT_LT(right, 0.85);
  EXPECT_NEAR(sure, right, 0.06);
}

TEST(LinearClassifier, DamagedFilesAreRefused) {
  const auto [texts, labels] = noun_rows(30);
  const std::string good = saved(LinearClassifier(texts, labels));
  EXPECT_NO_THROW(parsed(good));
  EXPECT_THROW(parsed(good.substr(0, good.size() - 1)), Error);
  EXPECT_THROW(parsed(""), Error);
  // With `from` replaced by as many bytes.
  const auto refusal = [&](std::string_view from, std::string_view to) {
    std::string bytes = good;
    const size_t at = bytes.find(from);
    if (at == std::string::npos || from.size() != to.size()) return std::string("no such place");
    bytes.replace(at, from.size(), to);
    try {
      parsed(bytes);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("it was taken");
  };
  const auto expect = [&](std::string_view from, std::string_view to, const char* reason) {
    const std::string said = refusal(from, to);
    EXPECT_NE(said.find(reason), std::string::npos) << said;
  };
  expect("alambic-linear", "something-else", "no linear classifier");
  expect(R"("version":"1")", R"("version":"2")", "reads version 1");
  expect(R"(\"parcel\",\"password\")", R"(\"invoice\",\"invoice\")", "holds one twice");
  expect(R"([\"invoice\")", R"({\"invoice\")", "[test]");
  expect(R"("temperature":"0.)", R"("temperature":"-1)", "\"temperature\" is -1");
  expect("again\n", "again ", "tensor idf");
  expect("again\n", "\xff\xff\xff\xff\xff\n", "UTF-8");
  expect("again\n", "today\n", "\"today\" twice");
}

// "text,category" rows; a text that holds a comma or a quote is quoted, quotes inside are doubled.
std::pair<Texts, Texts> read_intents(const std::string& path) {
  const std::string content = read_file(path);
  std::pair<Texts, Texts> rows;
  for (const std::string_view line : split_lines(content)) {
    const size_t comma = line.rfind(',');
    if (comma == std::string_view::npos) continue;
    rows.first.emplace_back(line.substr(0, comma));
    rows.second.emplace_back(line.substr(comma + 1));
  }
  return rows;
}

TEST(LinearClassifier, ReachesTheKnownAccuracyOnBankingIntents) {
  const char* root = std::getenv("ALAMBIC_DATA");
  const std::string path =
      (root ? std::string(root) : ALAMBIC_SOURCE_DIR "/../shared/data") + "/banking77/train.csv";
  if (!file_exists(path)) GTEST_SKIP() << "no BANKING77 at " << path;
  auto [texts, labels] = read_intents(path);
  // A third of the rows keeps the test short; the loss against all rows is in the bound.
  std::vector<size_t> order(texts.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  Rng(7).shuffle(order);
  Texts train_texts, train_labels, answers, wanted;
  for (size_t i = 0; i < order.size() / 3; ++i) {
    train_texts.push_back(texts[order[i]]);
    train_labels.push_back(labels[order[i]]);
  }
  const LinearClassifier model(train_texts, train_labels);
  for (size_t i = order.size() - 1000; i < order.size(); ++i) {
    answers.push_back(model.predict(texts[order[i]]));
    wanted.push_back(labels[order[i]]);
  }
  EXPECT_EQ(model.classes().size(), 77U);
  EXPECT_GT(accuracy(answers, wanted).value, 0.83);
}

}  // namespace
}  // namespace alambic
