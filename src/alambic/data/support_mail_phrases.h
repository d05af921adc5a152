// The words that support mails are made of. Constant tables with static lifetime; any thread may
// read them.
//
// Placeholders: {a} {the} {The} {my} {My} {of_the} the product with its article, {product} its bare
// name, {defect} what is wrong with it ("leaks"), {order}, {date}; in asides and quoted messages
// {other_a} {other_the} {other_order} {other_date} {month} {number}. French nouns are named with
// their gender, and French sentences avoid everything else that would have to agree with them, so
// that any product fits any sentence.
//
// The last ones of every table, kMailUnseen of a kind, are kept for test mails: nobody is trained
// on them. They are made of words that occur in the others.
#pragma once

#include <array>
#include <string_view>

namespace alambic {

struct MailNoun {
  std::string_view word;
  bool feminine = false;  // in French
};

inline constexpr size_t kMailLanguages = 2;  // English, French

struct MailProduct {
  std::string_view name;                                                // in records
  std::array<std::array<MailNoun, 2>, kMailLanguages> nouns;            // two ways to call it
  std::array<std::array<std::string_view, 4>, kMailLanguages> defects;  // the last in test alone
};

inline constexpr size_t kMailCategories = 7;
inline constexpr size_t kMailUrgencies = 3;  // high, normal, low

struct MailPhrases {
  std::string_view language;
  std::array<std::string_view, 12> months;
  std::array<std::string_view, 16> greetings, closings;
  std::array<std::string_view, 36> purchases;  // each says some of product, order and date
  std::array<std::array<std::string_view, 24>, kMailCategories> problems;
  std::array<std::array<std::string_view, 12>, kMailUrgencies> urgencies;  // empty: says nothing
  std::array<std::string_view, 16> asides;
  std::array<std::string_view, 8> links;   // before a second request
  std::array<std::string_view, 8> quotes;  // of an older message, below the mail
  // Of the reply: what will be done for {what}, {when}; what is done besides; what is asked for.
  std::array<std::string_view, kMailCategories> actions, also;
  std::string_view dear, hello;           // with {name}; without
  std::string_view what_order, what_any;  // {what} with an order; with neither order nor product
  std::string_view ask_order, ask_both;   // where the order is missing; and the product, too
  std::array<std::string_view, kMailUrgencies> when;
};

// How many of a table with `size` entries occur in test mails alone: the last quarter.
constexpr size_t unseen_wordings(size_t size) { return size / 4; }

extern const std::array<std::string_view, kMailCategories> kMailCategoryNames;
extern const std::array<std::string_view, kMailUrgencies> kMailUrgencyNames;
extern const std::array<MailProduct, 28> kMailProducts;
extern const std::array<std::string_view, 32> kMailFirstNames;
extern const std::array<std::string_view, 40> kMailLastNames;
extern const MailPhrases kEnglishMail, kFrenchMail;

}  // namespace alambic
