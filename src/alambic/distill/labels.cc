#include "alambic/distill/labels.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <zlib.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "alambic/base/error.h"
#include "alambic/base/printable.h"
#include "alambic/base/trimmed.h"
#include "alambic/data/reasoning.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

constexpr std::string_view kLabelsSlot = "{labels}";

bool upper(char c) { return c >= 'A' && c <= 'Z'; }
bool lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// Lowered words of letters and digits; "CardArrival" is two.
std::vector<std::string> words_of(std::string_view raw) {
  const std::string text = normalize_unicode(raw, NormalForm::kNfkc);
  std::vector<std::string> words(1);
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    const std::string_view letter = std::string_view(text).substr(at, step.length);
    const bool word = step.valid && is_word(step.code) && step.code != U'_';
    const bool hump = at > 0 && upper(text[at]) && lower_or_digit(text[at - 1]);
    if ((!word || hump) && !words.back().empty()) words.emplace_back();
    if (word) words.back() += letter;
    at += step.length;
  }
  if (words.back().empty()) words.pop_back();
  for (std::string& word : words) word = lowercase(word);
  return words;
}

// Words run together, but no digits of two: "1.0" is not "10".
void append_word(std::string& text, std::string_view word) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (!text.empty() && !word.empty() && digit(text.back()) && digit(word.front())) text += ' ';
  text += word;
}

std::string joined(std::span<const std::string> words) {
  std::string text;
  for (const std::string& word : words) append_word(text, word);
  return text;
}

// Without what people and models put around a label: quotes, stars, brackets, a full stop.
std::string_view bare(std::string_view text) {
  constexpr std::string_view kAround = " \t\r\n\"'`*[]().";
  const size_t begin = text.find_first_not_of(kAround);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kAround) - begin + 1);
}

// "It is not about refunds", "I don't know": these say what the label is not.
bool denies(std::string_view word) {
  constexpr std::string_view kNo[] = {"not", "no", "none", "neither", "nor", "cannot", "t"};
  return std::find(std::begin(kNo), std::end(kNo), word) != std::end(kNo);
}

// At most so many bytes of a text, whole characters, for a line on a terminal.
std::string shown(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return printable(text);
  std::string_view head = text.substr(0, bytes);
  head.remove_suffix(incomplete_utf8_suffix(head));
  return printable(head) + " …";
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (const std::string_view line = trimmed(text.substr(0, end)); !line.empty())
      lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace

LabelSet::LabelSet(std::vector<std::string> labels) : labels_(std::move(labels)) {
  if (labels_.empty() || labels_.size() > kMaxLabels) {
    fail(ErrorCode::kInvalidArgument, "[labels] got {}; want 1 to {}", labels_.size(), kMaxLabels);
  }
  for (size_t i = 0; i < labels_.size(); ++i) {
    const std::string name(trimmed(labels_[i]));
    if (name.empty()) fail(ErrorCode::kInvalidArgument, "[labels] label {} is empty", i + 1);
    exact_.emplace(name, i);
    const std::vector<std::string> words = words_of(name);
    if (words.empty()) continue;
    longest_ = std::max(longest_, joined(words).size());
    const auto [at, fresh] = by_words_.emplace(joined(words), i);
    if (!fresh) at->second.reset();
  }
}

// The label that the text is and nothing more.
std::optional<size_t> LabelSet::whole(std::string_view answer) const {
  const auto known = [&](std::string_view text) -> std::optional<size_t> {
    if (const auto at = exact_.find(std::string(text)); at != exact_.end()) return at->second;
    const auto at = by_words_.find(joined(words_of(text)));
    return at != by_words_.end() ? at->second : std::nullopt;
  };
  for (const std::string_view text : {trimmed(answer), bare(answer)}) {
    if (const auto at = exact_.find(std::string(text)); at != exact_.end()) return at->second;
  }
  if (const auto label = known(bare(answer))) return label;
  // "Label: refund", where "Label" is a word or two.
  constexpr size_t kLeading = 24;
  const size_t colon = answer.find(':');
  if (colon == std::string_view::npos || colon > kLeading) return std::nullopt;
  return known(bare(answer.substr(colon + 1)));
}

std::optional<size_t> LabelSet::meant(std::string_view answer) const {
  constexpr size_t kShort = 24;  // words
  if (const auto label = whole(answer)) return label;
  const std::vector<std::string_view> lines = lines_of(answer);
  if (lines.empty()) return std::nullopt;
  // An explanation behind the label, or in front of it.
  const auto first = whole(lines.front()), last = whole(lines.back());
  if (first && last && *first != *last) return std::nullopt;
  if (first) return first;
  if (last) return last;
  const std::vector<std::string> words = words_of(answer);
  const bool denied = std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    return denies(word) && !by_words_.contains(word);
  });
  if (words.size() > kShort || denied) return std::nullopt;
  std::set<size_t> found;
  for (size_t begin = 0; begin < words.size();) {
    // The longest one that begins here: "card" is no label of its own in "card arrival".
    std::string text;
    std::optional<size_t> longest;
    size_t next = begin + 1;
    for (size_t end = begin; end < words.size() && text.size() <= longest_; ++end) {
      append_word(text, words[end]);
      const auto at = by_words_.find(text);
      if (at == by_words_.end()) continue;
      if (!at->second) return std::nullopt;  // of two labels that differ in their marks alone
      longest = at->second;
      next = end + 1;
    }
    if (longest) found.insert(*longest);
    begin = next;
  }
  return found.size() == 1 ? std::optional(*found.begin()) : std::nullopt;
}

void OutsideAnswers::add(std::string_view answer) {
  constexpr size_t kKept = 2, kLong = 80;
  ++count_;
  if (first_.size() == kKept) return;
  first_.push_back(shown(trimmed(answer), kLong));
}

std::string OutsideAnswers::in_words() const {
  std::string text = fmt::format("{} outside the labels: \"{}\"",
                                 counted(count_, "answer is", "answers are"), first_.front());
  return first_.size() < 2 ? text
                           : fmt::format("{}, \"{}\"{}", text, first_[1], count_ > 2 ? ", …" : "");
}

std::string with_labels(std::string text, std::span<const std::string> labels) {
  const std::string list = fmt::format("{}", fmt::join(labels, ", "));
  for (size_t at = text.find(kLabelsSlot); at != std::string::npos;
       at = text.find(kLabelsSlot, at + list.size())) {
    text.replace(at, kLabelsSlot.size(), list);
  }
  return text;
}

std::string told_labels(std::span<const std::string> labels) {
  std::string text = "Answer with one of these labels and nothing else:";
  // One a line: a label may hold commas.
  for (const std::string& label : labels) {
    text += '\n';
    for (const char c : trimmed(label)) text += c == '\n' || c == '\r' ? ' ' : c;
  }
  return text;
}

std::string labels_key(std::span<const std::string> labels) {
  uLong sum = ::crc32(0, nullptr, 0);
  for (const std::string& label : labels) {
    // With the zero behind it, which parts it from the next one.
    sum = ::crc32_z(sum, reinterpret_cast<const Bytef*>(label.c_str()), label.size() + 1);
  }
  return fmt::format("{} labels, {:08x}", labels.size(), sum);
}

std::string first_labels(std::span<const std::string> labels) {
  constexpr size_t kFew = 5, kLong = 60;
  std::string text;
  for (size_t i = 0; i < std::min(labels.size(), kFew); ++i) {
    text += fmt::format("{}\"{}\"", i > 0 ? ", " : "", shown(labels[i], kLong));
  }
  return labels.size() > kFew ? text + ", …" : text;
}

std::string label_difference(std::span<const std::string> teachers,
                             std::span<const std::string> wanted) {
  const auto less = [](std::span<const std::string> these, std::span<const std::string> those) {
    std::vector<std::string> rest;
    std::copy_if(these.begin(), these.end(), std::back_inserter(rest), [&](const std::string& one) {
      return std::find(those.begin(), those.end(), one) == those.end();
    });
    return rest;
  };
  const std::vector<std::string> unknown = less(wanted, teachers), unused = less(teachers, wanted);
  std::string text;
  if (!unknown.empty()) {
    text = fmt::format("it never learned {} of these {} labels ({})", unknown.size(), wanted.size(),
                       first_labels(unknown));
  }
  if (!unused.empty()) {
    text += fmt::format("{}{} of its own are none of these ({})", text.empty() ? "" : ", and ",
                        unused.size(), first_labels(unused));
  }
  return text;
}

}  // namespace alambic
