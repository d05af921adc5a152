#include "alambic/data/support_mail.h"

#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/base/json.h"
#include "alambic/base/rng.h"
#include "alambic/data/support_mail_phrases.h"

namespace alambic {
namespace {

constexpr int kMaxMails = 10'000'000;

// Everything about one mail that is drawn; the texts follow from it.
struct Draft {
  size_t language, category, urgency, problem, product, first_name, last_name;
  std::string order, date;
};

// About 1 in 5 combinations of each kind, the same ones for every seed.
bool is_held_out(const Draft& draft) {
  const auto one_in_five = [](uint64_t kind, uint64_t a, uint64_t b) {
    return Rng(kind, (a << 16) | b).below(5) == 0;
  };
  const size_t problem = (draft.language * kMailCategories + draft.category) * 8 + draft.problem;
  const size_t name = draft.first_name * kMailLastNames.size() + draft.last_name;
  return one_in_five(101, problem, draft.product) || one_in_five(102, name, draft.product);
}

template <class Table>
const auto& pick(const Table& table, Rng& rng) {
  return table[rng.below(table.size())];
}

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

// The product with the article that `placeholder` asks for.
std::string with_article(const MailProduct& product, std::string_view placeholder, bool french) {
  const std::string noun(french ? product.french : product.english);
  const bool f = product.feminine;
  if (placeholder == "a") return (french ? f ? "une " : "un " : "a ") + noun;
  if (placeholder == "the") return (french ? f ? "la " : "le " : "the ") + noun;
  return (french ? f ? "La " : "Le " : "The ") + noun;
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

// Swaps two neighbouring inner letters of one word of `phrase`, outside placeholders, if it has
// such a word.
std::string with_slip(std::string_view phrase, Rng& rng) {
  std::string text(phrase);
  const auto plain = [](char c) { return c >= 'a' && c <= 'z'; };
  std::vector<size_t> places;
  int depth = 0;
  for (size_t i = 1; i + 2 < text.size(); ++i) {
    depth += text[i - 1] == '{' ? 1 : text[i - 1] == '}' ? -1 : 0;
    const bool inner =
        plain(text[i - 1]) && plain(text[i]) && plain(text[i + 1]) && plain(text[i + 2]);
    if (depth == 0 && inner && text[i] != text[i + 1]) places.push_back(i);
  }
  if (places.empty()) return text;
  const size_t at = pick(places, rng);
  std::swap(text[at], text[at + 1]);
  return text;
}

Draft draw(Rng& rng) {
  Draft draft;
  draft.language = rng.below(2);
  draft.category = rng.below(kMailCategories);
  const uint64_t share = rng.below(100);
  draft.urgency = share < 30 ? 0 : share < 75 ? 1 : 2;
  draft.problem = rng.below(8);
  draft.product = rng.below(kMailProducts.size());
  draft.first_name = rng.below(kMailFirstNames.size());
  draft.last_name = rng.below(kMailLastNames.size());
  draft.order = draw_order(rng);
  draft.date = draw_date(kMailPhrases[draft.language], rng);
  return draft;
}

// A sentence beside the point whose product, order and date differ from the draft's.
std::string draw_aside(const Draft& draft, Rng& rng) {
  const MailPhrases& phrases = kMailPhrases[draft.language];
  const size_t shift = 1 + rng.below(kMailProducts.size() - 1);
  const MailProduct& other = kMailProducts[(draft.product + shift) % kMailProducts.size()];
  std::string order = draw_order(rng), date = draw_date(phrases, rng);
  while (order == draft.order) order = draw_order(rng);
  while (date == draft.date) date = draw_date(phrases, rng);
  return fill(pick(phrases.asides, rng), [&](std::string_view placeholder) -> std::string {
    if (placeholder == "other_order") return order;
    if (placeholder == "other_date") return date;
    if (placeholder == "month") return std::string(pick(phrases.months, rng));
    if (placeholder == "number") return std::to_string(2 + rng.below(18));
    return with_article(other, placeholder.substr(std::string_view("other_").size()),
                        phrases.language == "fr");
  });
}

Example write_mail(const Draft& draft, Rng& rng) {
  const MailPhrases& phrases = kMailPhrases[draft.language];
  const MailProduct& product = kMailProducts[draft.product];
  const std::string name =
      fmt::format("{} {}", kMailFirstNames[draft.first_name], kMailLastNames[draft.last_name]);
  const auto value = [&](std::string_view placeholder) -> std::string {
    if (placeholder == "order") return draft.order;
    if (placeholder == "date") return draft.date;
    if (placeholder == "name") return std::string(name);
    if (placeholder == "when") return std::string(phrases.when[draft.urgency]);
    return with_article(product, placeholder, phrases.language == "fr");
  };
  std::string_view purchase = pick(phrases.purchases, rng);
  std::string problem(phrases.problems[draft.category][draft.problem]);
  std::string urgency(pick(phrases.urgencies[draft.urgency], rng));
  const uint64_t slip = rng.below(12);  // one mail in four has one
  if (slip == 0 || slip == 1) problem = with_slip(problem, rng);
  if (slip == 2) urgency = with_slip(urgency, rng);
  const std::string aside = rng.below(100) < 40 ? draw_aside(draft, rng) : "";
  std::vector<std::string> body = {fill(purchase, value), fill(problem, value), aside, urgency};
  const uint64_t layout = rng.below(4);
  if (layout == 1) std::swap(body[1], body[2]);  // the aside before the problem
  if (layout == 2) body = {urgency, body[0], body[1], aside};

  Example example;
  example.prompt = std::string(pick(phrases.greetings, rng)) + "\n";
  bool first = true;
  for (const std::string& sentence : body) {
    if (sentence.empty()) continue;
    if (!first) example.prompt += ' ';
    example.prompt += sentence;
    first = false;
  }
  example.prompt += fmt::format("\n{}\n{}", pick(phrases.closings, rng), name);

  OrderedJson facts = OrderedJson::object();
  facts["language"] = phrases.language;
  facts["category"] = kMailCategoryNames[draft.category];
  facts["urgency"] = kMailUrgencyNames[draft.urgency];
  facts["product"] = product.english;
  facts["order"] = draft.order;
  facts["date"] = draft.date;
  example.completion = dump_json(facts) + "\n" + fill(phrases.replies[draft.category], value);
  return example;
}

enum class Kind { kAll, kWithoutHeldOut };

// Adds `count` mails whose prompts are not in `seen`. Mail i is drawn from its own stream until it
// is new.
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
      const Draft draft = draw(rng);
      if (kind == Kind::kWithoutHeldOut && is_held_out(draft)) continue;
      Example mail = write_mail(draft, rng);
      if (!seen.insert(mail.prompt).second) continue;
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
      draw_mails(validation, Kind::kWithoutHeldOut, Rng(seed, 2), "validation-", seen);
  splits.train = draw_mails(train, Kind::kWithoutHeldOut, Rng(seed, 3), "train-", seen);
  return splits;
}

}  // namespace alambic
