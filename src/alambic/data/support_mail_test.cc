#include "alambic/data/support_mail.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "alambic/base/error.h"
#include "alambic/base/json.h"

namespace alambic {
namespace {

struct Answer {
  Json facts;
  std::string reply;
};

Answer answer_of(const Example& mail) {
  const size_t end = mail.completion.find('\n');
  return {parse_json(mail.completion.substr(0, end), mail.id), mail.completion.substr(end + 1)};
}

std::string fact(const Answer& answer, const char* key) {
  return require<std::string>(answer.facts, key, "mail");
}

int count_of(const std::string& text, const std::string& piece) {
  int count = 0;
  for (size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, at + 1))
    ++count;
  return count;
}

std::string last_line(const std::string& text) { return text.substr(text.rfind('\n') + 1); }

TEST(SupportMail, TheSameSeedGivesTheSameMailsAndAnotherDoesNot) {
  EXPECT_EQ(support_mails(50, 4), support_mails(50, 4));
  EXPECT_NE(support_mails(50, 4), support_mails(50, 5));
  const auto longer = support_mails(60, 4);
  EXPECT_TRUE(std::equal(longer.begin(), longer.begin() + 50, support_mails(50, 4).begin()));
}

TEST(SupportMail, OneMailIsTheSameOnEveryMachine) {
  EXPECT_EQ(
      support_mails(1, 1)[0].prompt,
      "Hello there,\nPlease act at once. Order K8449, placed on 2 September, was a bike. I would "
      "like to change it for another size. My last order was in March.\nThanks,\nEmma Dupont");
}

TEST(SupportMail, TheAnswerAgreesWithTheMail) {
  for (const Example& mail : support_mails(3000, 2)) {
    const Answer answer = answer_of(mail);
    EXPECT_EQ(answer.facts.size(), 6U);
    EXPECT_EQ(count_of(mail.prompt, fact(answer, "order")), 1) << mail.prompt;
    EXPECT_GE(count_of(mail.prompt, fact(answer, "date")), 1) << mail.prompt;
    EXPECT_NE(answer.reply.find(last_line(mail.prompt) + ", "), std::string::npos) << answer.reply;
    const bool english = fact(answer, "language") == "en";
    EXPECT_EQ(answer.reply.starts_with(english ? "Dear " : "Bonjour "), true);
    if (english) {
      EXPECT_NE(mail.prompt.find(" " + fact(answer, "product")), std::string::npos) << mail.prompt;
    }
    EXPECT_EQ(mail.prompt.find_first_of("{}"), std::string::npos) << mail.prompt;
    EXPECT_EQ(answer.reply.find_first_of("{}"), std::string::npos) << answer.reply;
  }
}

TEST(SupportMail, EveryKindOfMailOccursAboutAsOftenAsItShould) {
  std::map<std::string, int> languages, categories, urgencies, products;
  constexpr int kMails = 5000;
  for (const Example& mail : support_mails(kMails, 3)) {
    const Answer answer = answer_of(mail);
    languages[fact(answer, "language")]++;
    categories[fact(answer, "category")]++;
    urgencies[fact(answer, "urgency")]++;
    products[fact(answer, "product")]++;
  }
  ASSERT_EQ(languages.size(), 2U);
  ASSERT_EQ(categories.size(), 7U);
  ASSERT_EQ(products.size(), 28U);
  // Five standard deviations of a binomial share of 5000.
  EXPECT_NEAR(languages["fr"], kMails * 0.5, 177);
  for (const auto& [name, count] : categories) EXPECT_NEAR(count, kMails / 7.0, 124) << name;
  EXPECT_NEAR(urgencies["high"], kMails * 0.30, 163);
  EXPECT_NEAR(urgencies["normal"], kMails * 0.45, 176);
  EXPECT_NEAR(urgencies["low"], kMails * 0.25, 154);
}

TEST(SupportMail, MailsAreShortUseFewWordsAndNeverRepeat) {
  std::set<std::string> prompts, words;
  for (const Example& mail : support_mails(5000, 6)) {
    prompts.insert(mail.prompt);
    std::istringstream stream(mail.prompt);
    int length = 0;
    for (std::string word; stream >> word; ++length) {
      if (word.find_first_of("0123456789") == std::string::npos) words.insert(word);
    }
    EXPECT_GE(length, 14) << mail.prompt;
    EXPECT_LE(length, 60) << mail.prompt;
  }
  EXPECT_EQ(prompts.size(), 5000U);
  EXPECT_LT(words.size(), 2500U);  // slips of the keyboard included
}

// "product/problem" and "product/name" as far as a reader of the mail can tell them.
std::string name_and_product(const Example& mail) {
  return fact(answer_of(mail), "product") + "/" + last_line(mail.prompt);
}

TEST(SupportMail, HeldOutMailsAndCombinationsAreNew) {
  const Splits splits = support_mail_splits(20000, 500, 500, 8);
  ASSERT_EQ(splits.train.size(), 20000U);
  ASSERT_EQ(splits.validation.size(), 500U);
  ASSERT_EQ(splits.test.size(), 500U);
  std::set<std::string> prompts, pairs, orders;
  for (const Example& mail : splits.train) {
    prompts.insert(mail.prompt);
    pairs.insert(name_and_product(mail));
  }
  int new_pairs = 0;
  for (const Example& mail : splits.test) {
    EXPECT_EQ(prompts.count(mail.prompt), 0U);
    new_pairs += pairs.count(name_and_product(mail)) == 0 ? 1 : 0;
  }
  for (const Example& mail : splits.validation) EXPECT_EQ(prompts.count(mail.prompt), 0U);
  // 1 in 5 of 35,840 pairs is kept out; of the others, 20,000 draws miss exp(-20000 / 28672) = 50
  // %.
  EXPECT_NEAR(new_pairs, 500 * (0.2 + 0.8 * 0.5), 60);
  EXPECT_EQ(support_mail_splits(10, 5, 5, 8).test,
            std::vector<Example>(splits.test.begin(), splits.test.begin() + 5));
}

TEST(SupportMail, SenselessCountsAreRefused) {
  EXPECT_THROW(support_mails(-1, 0), Error);
  EXPECT_THROW(support_mails(2'000'000'000, 0), Error);
  EXPECT_TRUE(support_mails(0, 0).empty());
}

}  // namespace
}  // namespace alambic
