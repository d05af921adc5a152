#include "alambic/data/support_mail.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/base/json.h"
#include "alambic/base/rng.h"
#include "alambic/data/support_mail_phrases.h"
#include "alambic/data/support_mail_typing.h"

namespace alambic {
namespace {

constexpr int kMaxMails = 10'000'000;
constexpr int kMinWords = 3, kMaxWords = 60;

enum class Kind { kAll, kWithoutUnseen };

// What two mails have in common that differ in capitals, accents, punctuation and line breaks
// alone.
std::string essence(std::string_view mail) {
  std::string text = without_punctuation(without_accents(without_capitals(mail)));
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

bool with_chance(uint64_t percent, Rng& rng) { return rng.below(100) < percent; }

std::string digits(int count, Rng& rng) {
  std::string text(1, static_cast<char>('1' + rng.below(9)));
  while (static_cast<int>(text.size()) < count) text += static_cast<char>('0' + rng.below(10));
  return text;
}

// "K4821", "48-213" or "RT730". No O or I, which people read as digits.
std::string draw_order(Rng& rng) {
  constexpr std::string_view kLetters = "ABCDEFGHKLMNPRSTVWXZ";
  // One draw a statement: the order in which operands are evaluated is the compiler's choice.
  const uint64_t shape = rng.below(3);
  std::string order;
  if (shape == 1) {
    order = digits(2, rng) + "-";
    return order += digits(3, rng);
  }
  for (uint64_t i = 0; i < 1 + shape / 2; ++i) order += kLetters[rng.below(kLetters.size())];
  return order += digits(shape == 0 ? 4 : 3, rng);
}

std::string draw_date(const MailPhrases& phrases, Rng& rng) {
  constexpr std::array<int, 12> kDays = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const size_t month = rng.below(12);
  const auto day = static_cast<int>(1 + rng.below(static_cast<uint64_t>(kDays[month])));
  const std::string_view name = phrases.months[month];
  if (phrases.language == "fr") return fmt::format("{}{} {}", day, day == 1 ? "er" : "", name);
  return rng.below(3) == 0 ? fmt::format("{} {}", name, day) : fmt::format("{} {}", day, name);
}

// The noun as `placeholder` asks for it: {a}, {the}, {The}, {my}, {My}, {of_the} or {product}.
std::string with_article(std::string_view noun, bool feminine, std::string_view placeholder,
                         bool french) {
  std::string_view article;
  if (placeholder == "a") {
    const bool vowel = std::string_view("aeiou").find(noun[0]) != std::string_view::npos;
    article = french ? (feminine ? "une " : "un ") : (vowel ? "an " : "a ");
  } else if (placeholder == "the") {
    article = french ? (feminine ? "la " : "le ") : "the ";
  } else if (placeholder == "The") {
    article = french ? (feminine ? "La " : "Le ") : "The ";
  } else if (placeholder == "my") {
    article = french ? (feminine ? "ma " : "mon ") : "my ";
  } else if (placeholder == "My") {
    article = french ? (feminine ? "Ma " : "Mon ") : "My ";
  } else if (placeholder == "of_the") {
    article = french ? (feminine ? "de la " : "du ") : "of the ";
  }
  return std::string(article).append(noun);
}

// Replaces every {placeholder} by what `value` says for it.
template <class Value>
std::string fill(std::string_view phrase, const Value& value) {
  std::string text;
  for (size_t open; (open = phrase.find('{')) != std::string_view::npos;) {
    const size_t close = phrase.find('}', open);
    text += phrase.substr(0, open);
    text += value(phrase.substr(open + 1, close - open - 1));
    phrase.remove_prefix(close + 1);
  }
  return text.append(phrase);
}

std::string joined(const std::vector<std::string>& sentences, std::string_view between) {
  std::string text;
  for (const std::string& sentence : sentences) {
    if (sentence.empty()) continue;
    if (!text.empty()) text += between;
    text += sentence;
  }
  return text;
}

// Behind "Hello," on the same line.
std::string continued(std::string text) {
  if (text.starts_with("I ") || text.empty()) return text;
  if (text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

int word_count(std::string_view text) {
  int words = 0;
  bool inside = false;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n';
    words += !space && !inside ? 1 : 0;
    inside = !space;
  }
  return words;
}

// One mail, drawn and written down.
class Writer {
 public:
  Writer(Kind kind, Rng& rng) : kind_(kind), rng_(rng) {
    french_ = rng_.below(kMailLanguages) == 1;
    category_ = rng_.below(kMailCategories);
    brief_ = with_chance(25, rng_);
    if (with_chance(brief_ ? 5 : 15, rng_))
      also_ = (category_ + 1 + rng_.below(kMailCategories - 1)) % kMailCategories;
    const uint64_t share = rng_.below(100);
    urgency_ = share < 30 ? 0 : share < 75 ? 1 : 2;
    product_ = rng_.below(kMailProducts.size());
    noun_ = with_chance(70, rng_) ? 0 : 1;
    order_ = draw_order(rng_);
    date_ = draw_date(phrases(), rng_);
    name_ = kMailFirstNames[rng_.below(kMailFirstNames.size())];
    const std::string_view last = pick(kMailLastNames);
    if (with_chance(75, rng_)) name_.append(" ").append(last);
    if (with_chance(40, rng_)) slips_ = 1 + static_cast<int>(rng_.below(3));
  }

  Example write() {
    std::string mail = with_frame(body());
    if (with_chance(6, rng_)) mail += "\n\n" + aside(pick(phrases().quotes));
    // Of the whole mail, and so of what is copied from it.
    if (with_chance(15, rng_)) {
      for (std::string* text : {&mail, &order_, &date_, &name_}) *text = without_capitals(*text);
    }
    if (french_ && with_chance(12, rng_)) {
      for (std::string* text : {&mail, &date_, &name_}) *text = without_accents(*text);
    }
    if (with_chance(12, rng_)) mail = without_punctuation(mail);
    Example example;
    example.prompt = std::move(mail);
    example.completion = dump_json(facts()) + "\n" + reply();
    return example;
  }

 private:
  const MailPhrases& phrases() const { return french_ ? kFrenchMail : kEnglishMail; }
  size_t language() const { return french_ ? 1 : 0; }
  const MailProduct& product() const { return kMailProducts[product_]; }

  template <class Table>
  std::string_view pick(const Table& table) {
    const size_t unseen = kind_ == Kind::kAll ? 0 : unseen_wordings(table.size());
    return table[rng_.below(table.size() - unseen)];
  }

  // A sentence with the mail's own facts, which it notes as said.
  std::string say(std::string_view phrase) {
    std::string slipped(phrase);
    if (slips_ > 0 && with_chance(50, rng_)) {
      slipped = with_slip(slipped, french_, rng_);
      --slips_;
    }
    return fill(slipped, [&](std::string_view placeholder) -> std::string {
      if (placeholder == "order") {
        says_order_ = true;
        return order_;
      }
      if (placeholder == "date") {
        says_date_ = true;
        return date_;
      }
      if (placeholder == "defect") return std::string(pick(product().defects[language()]));
      says_product_ = true;
      const MailNoun& noun = product().nouns[language()][noun_];
      std::string word(noun.word);
      if (slips_ > 0 && with_chance(20, rng_)) {
        word = with_slip(word, french_, rng_);
        --slips_;
      }
      return with_article(word, noun.feminine, placeholder, french_);
    });
  }

  // A sentence beside the point whose product, order and date differ from the mail's.
  std::string aside(std::string_view phrase) {
    const size_t shift = 1 + rng_.below(kMailProducts.size() - 1);
    const MailNoun& other =
        kMailProducts[(product_ + shift) % kMailProducts.size()].nouns[language()][0];
    std::string order = draw_order(rng_), date = draw_date(phrases(), rng_);
    while (order == order_) order = draw_order(rng_);
    while (date == date_) date = draw_date(phrases(), rng_);
    return fill(phrase, [&](std::string_view placeholder) -> std::string {
      if (placeholder == "other_order") return order;
      if (placeholder == "other_date") return date;
      if (placeholder == "month") return std::string(phrases().months[rng_.below(12)]);
      if (placeholder == "number") return std::to_string(2 + rng_.below(18));
      return with_article(other.word, other.feminine,
                          placeholder.substr(std::string_view("other_").size()), french_);
    });
  }

  std::string body() {
    const MailPhrases& p = phrases();
    std::string purchase, beside, second;
    if (with_chance(brief_ ? 20 : 78, rng_)) purchase = say(pick(p.purchases));
    const std::string problem = say(pick(p.problems[category_]));
    if (also_) {
      second = std::string(pick(p.links)) + " ";
      second += say(pick(p.problems[*also_]));
    }
    const std::string urgency = say(pick(p.urgencies[urgency_]));
    if (!brief_ && with_chance(35, rng_)) beside = aside(pick(p.asides));
    std::vector<std::string> sentences = {purchase, problem, second, beside, urgency};
    const uint64_t layout = rng_.below(8);
    if (layout == 1 || layout == 2) sentences = {purchase, beside, problem, second, urgency};
    if (layout == 3) sentences = {urgency, purchase, problem, second, beside};
    if (layout == 4 || layout == 5) sentences = {problem, purchase, second, urgency, beside};
    return joined(sentences, with_chance(15, rng_) ? "\n" : " ");
  }

  // With a greeting, a closing and a name, or without them.
  std::string with_frame(std::string text) {
    if (with_chance(brief_ ? 40 : 66, rng_)) {
      const std::string_view greeting = pick(phrases().greetings);
      const bool same_line = with_chance(40, rng_);
      if (same_line && greeting.ends_with(',')) text = continued(std::move(text));
      text = std::string(greeting) + (same_line ? " " : "\n") + text;
    }
    const uint64_t share = brief_ ? 70 + rng_.below(20) : rng_.below(100);
    if (share < 68) text.append("\n").append(pick(phrases().closings));
    says_name_ = share < 55 || share >= 88;
    if (says_name_) text += "\n" + name_;
    return text;
  }

  OrderedJson facts() const {
    OrderedJson facts = OrderedJson::object();
    facts["language"] = phrases().language;
    facts["category"] = kMailCategoryNames[category_];
    facts["also"] = also_ ? OrderedJson(kMailCategoryNames[*also_]) : OrderedJson();
    facts["urgency"] = kMailUrgencyNames[urgency_];
    facts["product"] = says_product_ ? OrderedJson(product().name) : OrderedJson();
    facts["order"] = says_order_ ? OrderedJson(order_) : OrderedJson();
    facts["date"] = says_date_ ? OrderedJson(date_) : OrderedJson();
    return facts;
  }

  // What is acted on: a thing where a thing is sent, else the order; by what the mail names.
  std::string_view object_of_reply() const {
    const std::string_view name = kMailCategoryNames[category_];
    const bool thing = name == "damage" || name == "exchange" || name == "parts";
    if (says_product_ && (thing || !says_order_)) return "{the}";
    return says_order_ ? phrases().what_order : phrases().what_any;
  }

  std::string reply() const {
    const MailPhrases& p = phrases();
    std::string text(says_name_ ? p.dear : p.hello);
    text += p.actions[category_];
    if (also_) text.append(" ").append(p.also[*also_]);
    if (!says_order_) text.append(" ").append(says_product_ ? p.ask_order : p.ask_both);
    const auto value = [&](std::string_view placeholder) -> std::string {
      if (placeholder == "what") return std::string(object_of_reply());
      if (placeholder == "name") return name_;
      if (placeholder == "when") return std::string(p.when[urgency_]);
      if (placeholder == "order") return order_;
      const MailNoun& noun = product().nouns[language()][0];
      return with_article(noun.word, noun.feminine, placeholder, french_);
    };
    return fill(fill(text, value), value);
  }

  Kind kind_;
  Rng& rng_;
  bool french_ = false, brief_ = false;
  size_t category_ = 0, urgency_ = 0, product_ = 0, noun_ = 0;
  std::optional<size_t> also_;
  std::string order_, date_, name_;
  bool says_product_ = false, says_order_ = false, says_date_ = false, says_name_ = false;
  int slips_ = 0;  // still to be made
};

// Adds `count` mails whose essence is not in `seen`. Mail i is drawn from its own stream until it
// is new and neither too short nor too long.
std::vector<Example> draw_mails(int count, Kind kind, const Rng& source, std::string_view id_prefix,
                                std::unordered_set<std::string>& seen) {
  if (count < 0 || count > kMaxMails) {
    fail(ErrorCode::kInvalidArgument, "[support mails] {} mails; want 0 to {}", count, kMaxMails);
  }
  std::vector<Example> mails;
  mails.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    Rng rng = source.fork(static_cast<uint64_t>(i));
    for (;;) {
      Example mail = Writer(kind, rng).write();
      const int words = word_count(mail.prompt);
      if (words < kMinWords || words > kMaxWords) continue;
      if (!seen.insert(essence(mail.prompt)).second) continue;
      mail.id = fmt::format("{}{}", id_prefix, i + 1);
      mails.push_back(std::move(mail));
      break;
    }
  }
  return mails;
}

}  // namespace

std::vector<Example> support_mails(int count, uint64_t seed) {
  std::unordered_set<std::string> seen;
  return draw_mails(count, Kind::kAll, Rng(seed, 0), "mail-", seen);
}

Splits support_mail_splits(int train, int validation, int test, uint64_t seed) {
  std::unordered_set<std::string> seen;
  Splits splits;
  splits.test = draw_mails(test, Kind::kAll, Rng(seed, 1), "test-", seen);
  splits.validation =
      draw_mails(validation, Kind::kWithoutUnseen, Rng(seed, 2), "validation-", seen);
  splits.train = draw_mails(train, Kind::kWithoutUnseen, Rng(seed, 3), "train-", seen);
  return splits;
}

}  // namespace alambic
