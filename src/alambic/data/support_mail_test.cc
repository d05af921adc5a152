#include "alambic/data/support_mail.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "alambic/base/error.h"
#include "alambic/base/json.h"
#include "alambic/data/support_mail_phrases.h"
#include "alambic/data/support_mail_typing.h"

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

// "" where it is null.
std::string fact(const Answer& answer, const char* key) {
  const Json& value = answer.facts.at(key);
  return value.is_null() ? "" : value.get<std::string>();
}

bool holds(const std::string& text, std::string_view piece) {
  return text.find(piece) != std::string::npos;
}

int words_of(const std::string& text) {
  std::istringstream stream(text);
  int length = 0;
  for (std::string word; stream >> word;) ++length;
  return length;
}

TEST(SupportMail, TheSameSeedGivesTheSameMailsAndAnotherDoesNot) {
  EXPECT_EQ(support_mails(50, 4), support_mails(50, 4));
  EXPECT_NE(support_mails(50, 4), support_mails(50, 5));
  const auto longer = support_mails(60, 4);
  EXPECT_TRUE(std::equal(longer.begin(), longer.begin() + 50, support_mails(50, 4).begin()));
}

TEST(SupportMail, OneMailIsTheSameOnEveryMachine) {
  const Example mail = support_mails(1, 1)[0];
  EXPECT_EQ(mail.prompt,
            "i need a differet size and another question where can i get spare parts for the "
            "kettle i need a solution by tomorrow");
  EXPECT_EQ(
      mail.completion,
      R"({"language":"en","category":"exchange","also":"parts","urgency":"high",)"
      R"("product":"kettle","order":null,"date":null})"
      "\nHello, we will exchange the kettle today. We will send the missing part, too. Please "
      "send us the order number.");
}

TEST(SupportMail, TheAnswerAgreesWithTheMail) {
  for (const Example& mail : support_mails(3000, 2)) {
    const Answer answer = answer_of(mail);
    EXPECT_EQ(answer.facts.size(), 7U);
    const bool english = fact(answer, "language") == "en";
    for (const char* key : {"order", "date"})
      EXPECT_TRUE(holds(mail.prompt, fact(answer, key))) << mail.prompt << mail.completion;
    EXPECT_NE(fact(answer, "category"), fact(answer, "also"));
    // The reply greets with the name below the mail, or with none.
    const std::string greeting = answer.reply.substr(0, answer.reply.find(", "));
    const std::string name = greeting.substr(std::min(greeting.size(), greeting.find(' ') + 1));
    if (greeting != "Hello" && greeting != "Bonjour") {
      EXPECT_TRUE(greeting.starts_with(english ? "Dear " : "Bonjour ")) << answer.reply;
      EXPECT_TRUE(holds(mail.prompt, "\n" + name)) << mail.prompt << answer.reply;
    }
    EXPECT_EQ(holds(answer.reply, english ? "send us the order number" : "le numéro de commande"),
              fact(answer, "order").empty())
        << answer.reply;
    EXPECT_EQ(mail.prompt.find_first_of("{}"), std::string::npos) << mail.prompt;
    EXPECT_EQ(answer.reply.find_first_of("{}"), std::string::npos) << answer.reply;
  }
}

TEST(SupportMail, WhatTheReplyAsksForIsWhatTheMailDoesNotSay) {
  int without_order = 0, without_both = 0, with_second = 0;
  for (const Example& mail : support_mails(1000, 9)) {
    const Answer answer = answer_of(mail);
    const bool no_order = fact(answer, "order").empty();
    const bool neither = no_order && fact(answer, "product").empty();
    without_order += no_order ? 1 : 0;
    without_both += neither ? 1 : 0;
    EXPECT_EQ(holds(answer.reply, "which product") || holds(answer.reply, "quel produit"), neither);
    if (fact(answer, "also").empty()) continue;
    ++with_second;
    EXPECT_TRUE(holds(answer.reply, ", too.") || holds(answer.reply, " aussi")) << answer.reply;
  }
  EXPECT_GT(without_order, 300);
  EXPECT_LT(without_order, 660);
  EXPECT_GT(without_both, 50);
  EXPECT_NEAR(with_second, 130, 50);
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
  ASSERT_EQ(products.size(), 29U);  // and none
  // Five standard deviations of a binomial share of 5000.
  EXPECT_NEAR(languages["fr"], kMails * 0.5, 177);
  for (const auto& [name, count] : categories) EXPECT_NEAR(count, kMails / 7.0, 124) << name;
  EXPECT_NEAR(urgencies["high"], kMails * 0.30, 163);
  EXPECT_NEAR(urgencies["normal"], kMails * 0.45, 176);
  EXPECT_NEAR(urgencies["low"], kMails * 0.25, 154);
}

TEST(SupportMail, MailsAreAsVariedAsPeoples) {
  std::set<std::string> prompts;
  int brief = 0, lengthy = 0, small = 0, unsigned_ = 0, ungreeted = 0, quoting = 0;
  for (const Example& mail : support_mails(2000, 6)) {
    prompts.insert(mail.prompt);
    const int length = words_of(mail.prompt);
    EXPECT_GE(length, 3) << mail.prompt;
    EXPECT_LE(length, 60) << mail.prompt;
    brief += length <= 12 ? 1 : 0;
    lengthy += length >= 40 ? 1 : 0;
    small += without_capitals(mail.prompt) == mail.prompt ? 1 : 0;
    const std::string reply = answer_of(mail).reply;
    unsigned_ += reply.starts_with("Hello, ") || reply.starts_with("Bonjour, ") ? 1 : 0;
    const std::string start = without_capitals(mail.prompt.substr(0, 5));
    ungreeted += start != "hello" && start != "bonjo" && !start.starts_with("dear") ? 1 : 0;
    quoting += holds(mail.prompt, "\n> ") ? 1 : 0;
  }
  EXPECT_EQ(prompts.size(), 2000U);
  EXPECT_GT(brief, 150);
  EXPECT_GT(lengthy, 40);
  EXPECT_NEAR(small, 300, 80);
  EXPECT_NEAR(unsigned_, 940, 110);
  EXPECT_GT(ungreeted, 700);
  EXPECT_NEAR(quoting, 120, 55);
}

TEST(SupportMail, AQuarterOfTheWordingsOccursInTestAlone) {
  const Splits splits = support_mail_splits(6000, 500, 4000, 8);
  ASSERT_EQ(splits.train.size(), 6000U);
  ASSERT_EQ(splits.validation.size(), 500U);
  ASSERT_EQ(splits.test.size(), 4000U);
  std::string learned, tested;
  for (const std::vector<Example>* part : {&splits.train, &splits.validation}) {
    for (const Example& mail : *part) learned += mail.prompt + "\n";
  }
  for (const Example& mail : splits.test) tested += mail.prompt + "\n";
  int looked_for = 0, tested_wordings = 0;
  for (const MailPhrases* phrases : {&kEnglishMail, &kFrenchMail}) {
    for (const auto& table : phrases->problems) {
      for (size_t i = 0; i < table.size(); ++i) {
        ASSERT_FALSE(table[i].empty());
        const bool unseen = i >= table.size() - unseen_wordings(table.size());
        if (table[i].find('{') != std::string_view::npos) continue;
        if (!unseen) {
          EXPECT_TRUE(holds(learned, table[i])) << table[i];
          continue;
        }
        ++looked_for;
        EXPECT_FALSE(holds(learned, table[i])) << table[i];
        tested_wordings += holds(tested, table[i]) ? 1 : 0;
      }
    }
  }
  EXPECT_GT(looked_for, 20);
  EXPECT_EQ(tested_wordings, looked_for);
  EXPECT_TRUE(holds(tested, "Legrand"));
  EXPECT_FALSE(holds(learned, "Legrand"));
  EXPECT_EQ(support_mail_splits(10, 5, 5, 8).test,
            std::vector<Example>(splits.test.begin(), splits.test.begin() + 5));
}

// In the words that other mails use.
TEST(SupportMail, WordingsOfTheTestAreMadeOfKnownWords) {
  for (const MailPhrases* phrases : {&kEnglishMail, &kFrenchMail}) {
    std::set<std::string> known;
    const auto add = [&known](std::string_view phrase) {
      std::istringstream stream(without_punctuation(without_capitals(phrase)));
      for (std::string word; stream >> word;) known.insert(word);
    };
    const auto each = [&](const auto& table, const auto& visit) {
      const size_t seen = table.size() - unseen_wordings(table.size());
      for (size_t i = 0; i < table.size(); ++i) visit(table[i], i >= seen);
    };
    const auto all = [&](const auto& visit) {
      each(phrases->purchases, visit);
      for (const auto& table : phrases->problems) each(table, visit);
      for (const auto& table : phrases->urgencies) each(table, visit);
    };
    all([&](std::string_view phrase, bool unseen) {
      if (!unseen) add(phrase);
    });
    int words = 0, strange = 0;
    all([&](std::string_view phrase, bool unseen) {
      if (!unseen) return;
      std::istringstream stream(without_punctuation(without_capitals(phrase)));
      for (std::string word; stream >> word; ++words) strange += known.contains(word) ? 0 : 1;
    });
    EXPECT_GT(words, 200);
    EXPECT_LT(strange, words / 10) << phrases->language;
  }
}

TEST(SupportMail, MailsThatDifferInTypingAloneAreOneMail) {
  const Splits splits = support_mail_splits(3000, 100, 500, 12);
  std::set<std::string> seen;
  for (const auto* part : {&splits.train, &splits.validation, &splits.test}) {
    for (const Example& mail : *part) {
      std::string text = without_punctuation(without_accents(without_capitals(mail.prompt)));
      std::replace(text.begin(), text.end(), '\n', ' ');
      EXPECT_TRUE(seen.insert(text).second) << text;
    }
  }
}

TEST(SupportMail, SenselessCountsAreRefused) {
  EXPECT_THROW(support_mails(-1, 0), Error);
  EXPECT_THROW(support_mails(2'000'000'000, 0), Error);
  EXPECT_TRUE(support_mails(0, 0).empty());
}

TEST(SupportMailTyping, WritesWithoutCapitalsAccentsAndPunctuation) {
  EXPECT_EQ(without_capitals("À l'aide, ÇA fuit × 2"), "à l'aide, ça fuit × 2");
  EXPECT_EQ(without_accents("Chère sœur, août à Noël"), "Chere soeur, aout a Noel");
  EXPECT_EQ(without_punctuation("Où est-il ? Ici, 3.5 km.\nBien !"), "Où est-il Ici 3.5 km\nBien");
}

TEST(SupportMailTyping, ASlipChangesOneWordAndNeverAPlaceholder) {
  const std::string phrase = "Please send {the} that I don't know to {other_order}.";
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Rng rng(seed, 0);
    const std::string slipped = with_slip(phrase, false, rng);
    EXPECT_TRUE(holds(slipped, "{the}") && holds(slipped, "{other_order}")) << slipped;
    EXPECT_TRUE(slipped.starts_with("P")) << slipped;
    EXPECT_LE(slipped.size(), phrase.size() + 1);
    EXPECT_GE(slipped.size() + 1, phrase.size());
    seen.insert(slipped);
  }
  EXPECT_GT(seen.size(), 20U);
  EXPECT_TRUE(seen.contains("Please send {the} that I dont know to {other_order}."));
  Rng rng(1, 0);
  EXPECT_EQ(with_slip("{the} is on", false, rng), "{the} is on");  // no word is long enough
}

}  // namespace
}  // namespace alambic
