// The words that support mails are made of. Constant tables with static lifetime; any thread may
// read them.
//
// Placeholders: {a} {the} {The} the product with its article, {order}, {date}, {name}, {when};
// in asides also {other_a} {other_the} {other_order} {other_date} {month} {number}. French products
// start with a consonant and templates avoid agreement and the contractions of "de" and "à" with an
// article, so that any product fits any sentence.
#pragma once

#include <array>
#include <string_view>

namespace alambic {

struct MailProduct {
  std::string_view english, french;
  bool feminine;  // in French
};

inline constexpr size_t kMailCategories = 7;
inline constexpr size_t kMailUrgencies = 3;  // high, normal, low

struct MailPhrases {
  std::string_view language;
  std::array<std::string_view, 12> months;
  std::array<std::string_view, 8> greetings, closings;
  std::array<std::string_view, 10> purchases, asides;
  std::array<std::array<std::string_view, 8>, kMailCategories> problems;
  std::array<std::array<std::string_view, 5>, kMailUrgencies>
      urgencies;  // an empty one says nothing
  std::array<std::string_view, kMailCategories> replies;
  std::array<std::string_view, kMailUrgencies> when;
};

extern const std::array<std::string_view, kMailCategories> kMailCategoryNames;
extern const std::array<std::string_view, kMailUrgencies> kMailUrgencyNames;
extern const std::array<MailProduct, 28> kMailProducts;
extern const std::array<std::string_view, 32> kMailFirstNames;
extern const std::array<std::string_view, 40> kMailLastNames;
extern const std::array<MailPhrases, 2> kMailPhrases;  // English, French

}  // namespace alambic
