#include "alambic/data/contamination.h"

#include <algorithm>
#include <set>
#include <string>

#include "alambic/text/unicode.h"

namespace alambic {
namespace {

constexpr size_t kSequence = 13;
constexpr size_t kShortestSequence = 5;
constexpr uint64_t kBase = 0x9e3779b97f4a7c15ULL;  // of the rolling hash; odd

uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

struct Range {
  char32_t first, last;
};

template <size_t N>
bool within(char32_t code, const Range (&ranges)[N]) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [code](Range r) { return code >= r.first && code <= r.last; });
}

// Scripts written without blanks: each character is a word.
bool stands_alone(char32_t code) {
  static constexpr Range kRanges[] = {
      {0x0e00, 0x0eff},    // Thai, Lao
      {0x1000, 0x109f},    // Burmese
      {0x1780, 0x17ff},    // Khmer
      {0x3040, 0x30ff},    // Hiragana, Katakana
      {0x3400, 0x4dbf},    // Han
      {0x4e00, 0x9fff},    //
      {0xf900, 0xfaff},    //
      {0x20000, 0x3ffff},  //
  };
  return code >= 0x0e00 && within(code, kRanges);
}

// Apostrophes inside words, and marks that nobody sees.
bool vanishes(char32_t code) {
  static constexpr Range kRanges[] = {
      {'\'', '\''},     {'`', '`'},       {0xad, 0xad},     {0x2018, 0x201b}, {0x2032, 0x2032},
      {0x02b9, 0x02bc}, {0x200b, 0x200f}, {0x2060, 0x2064}, {0xfeff, 0xfeff},
  };
  return within(code, kRanges);
}

// Signs that are no letters of a word: money, arrows, mathematics, pictures.
bool is_symbol(char32_t code) {
  static constexpr Range kRanges[] = {
      {0xa2, 0xa9},     {0xac, 0xae},     {0xb0, 0xb1},     {0xd7, 0xd7},     {0xf7, 0xf7},
      {0x20a0, 0x20cf}, {0x2190, 0x23ff}, {0x2500, 0x27bf}, {0x2900, 0x2bff}, {0x1f000, 0x1faff},
  };
  return within(code, kRanges);
}

// What typesetters and other alphabets write for signs that ASCII has, and letters that are
// another in capitals.
std::string_view plain_form(char32_t code) {
  switch (code) {
    case 0xb4:  // an acute accent in the place of an apostrophe, before NFKC parts it from words
      return "'";
    case 0x2010:
    case 0x2011:
    case 0x2012:
    case 0x2013:
    case 0x2014:
    case 0x2015:
    case 0x2212:
    case 0xfe58:
    case 0xfe63:
    case 0xff0d:
      return "-";
    case 0xdf:
    case 0x1e9e:
      return "ss";
    case 0x3c2:
      return "\xcf\x83";  // a small sigma at the end of a word
    default:
      return {};
  }
}

std::string in_plain_forms(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    const std::string_view plain = step.code < 0x80 ? std::string_view{} : plain_form(step.code);
    out += plain.empty() ? text.substr(at, step.length) : plain;
    at += step.length;
  }
  return out;
}

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Whether the character at `at` may be one side of a sum: a digit, a name of one letter, a bracket.
bool is_operand(std::string_view text, size_t at) {
  const auto letter = [&](size_t i) { return i < text.size() && is_ascii_letter(text[i]); };
  const char c = text[at];
  if (letter(at)) return !letter(at + 1) && (at == 0 || !letter(at - 1));
  return is_ascii_digit(c) || c == '(' || c == ')' || c == '[' || c == ']';
}

// Whether the sign at `at` computes with a digit beside it, blanks aside; a dash or a star between
// words or before the items of a list does not. A minus right before a digit and behind none is
// that of a negative number.
bool computes(std::string_view text, size_t at) {
  constexpr size_t kNone = std::string_view::npos;
  const size_t before = at == 0 ? kNone : text.find_last_not_of(" \t", at - 1);
  const size_t behind = text.find_first_not_of(" \t", at + 1);
  const bool digit_before = before != kNone && is_ascii_digit(text[before]);
  const bool digit_behind = behind != kNone && is_ascii_digit(text[behind]);
  if (!digit_before && !digit_behind) return false;
  if (text[at] == '%') return digit_before;
  if (text[at] != '-' && text[at] != '*') return true;
  if (digit_behind && behind == at + 1 && (before == kNone || before + 1 < at)) return true;
  return before != kNone && behind != kNone && is_operand(text, before) && is_operand(text, behind);
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// Collects words as hashes, character by character.
class Words {
 public:
  void add(char32_t code) {
    word_ = (word_ ^ code) * 0x100000001b3ULL;
    open_ = true;
  }
  void end() {
    if (open_) hashes_.push_back(mixed(word_));
    word_ = kStart;
    open_ = false;
  }
  std::vector<uint64_t> take() {
    end();
    return std::move(hashes_);
  }

 private:
  static constexpr uint64_t kStart = 0xcbf29ce484222325ULL;
  uint64_t word_ = kStart;
  bool open_ = false;
  std::vector<uint64_t> hashes_;
};

void add_ascii(std::string_view text, size_t at, Words& words) {
  const char c = text[at];
  if ((c >= 'a' && c <= 'z') || is_ascii_digit(c)) return words.add(static_cast<char32_t>(c));
  if (c >= 'A' && c <= 'Z') return words.add(static_cast<char32_t>(c - 'A' + 'a'));
  if (c == '\'' || c == '`') return;
  const bool between_digits = at > 0 && at + 1 < text.size() && is_ascii_digit(text[at - 1]) &&
                              is_ascii_digit(text[at + 1]);
  if ((c == '.' || c == ',') && between_digits) return words.add(static_cast<char32_t>(c));
  words.end();
  constexpr std::string_view kArithmetic = "+-*/=<>^%";
  if (kArithmetic.find(c) != std::string_view::npos && computes(text, at)) {
    words.add(static_cast<char32_t>(c));
    words.end();
  }
}

// Calls `use` with the hash of each sequence of `length` words.
template <class Use>
void each_sequence(std::span<const uint64_t> words, size_t length, const Use& use) {
  if (words.size() < length) return;
  uint64_t leading = 1;  // what the word that leaves was multiplied with
  for (size_t i = 1; i < length; ++i) leading *= kBase;
  uint64_t hash = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i >= length) hash -= words[i - length] * leading;
    hash = hash * kBase + words[i];
    if (i + 1 >= length) use(mixed(hash + length));
  }
}

uint64_t key_of(std::span<const uint64_t> words) {
  uint64_t hash = words.size();
  for (const uint64_t word : words) hash = hash * kBase + word;
  return mixed(hash);
}

}  // namespace

std::vector<uint64_t> word_hashes(std::string_view text) {
  Words words;
  if (is_ascii(text)) {
    for (size_t at = 0; at < text.size(); ++at) add_ascii(text, at, words);
    return words.take();
  }
  const std::string normal = normalize_unicode(in_plain_forms(text), NormalForm::kNfkc);
  const std::string folded = in_plain_forms(lowercase(normal));
  for (size_t at = 0; at < folded.size();) {
    const Utf8Step step = decode_utf8(folded, at);
    if (step.code < 0x80) {
      add_ascii(folded, at, words);
    } else if (vanishes(step.code)) {
    } else if (is_white_space(step.code) || is_punctuation(step.code) || is_symbol(step.code)) {
      words.end();
    } else if (stands_alone(step.code)) {
      words.end();
      words.add(step.code);
      words.end();
    } else {
      words.add(step.code);
    }
    at += step.length;
  }
  return words.take();
}

uint64_t words_key(std::string_view text) { return key_of(word_hashes(text)); }

HeldOutPrompts::HeldOutPrompts(std::span<const Example> held_out) {
  std::vector<std::vector<uint64_t>> sequences;  // by prompt
  std::set<size_t> lengths;
  for (const Example& example : held_out) {
    const std::vector<uint64_t> words = word_hashes(compared_text(example));
    if (words.empty() || !whole_.try_emplace(key_of(words), prompts_.size()).second) continue;
    prompts_.push_back({0, false, place_of(example)});
    std::vector<uint64_t>& own = sequences.emplace_back();
    if (words.size() < kShortestSequence) continue;
    const size_t length = std::min(words.size(), kSequence);
    lengths.insert(length);
    each_sequence(words, length, [&own](uint64_t hash) { own.push_back(hash); });
    std::sort(own.begin(), own.end());
    own.erase(std::unique(own.begin(), own.end()), own.end());
  }
  for (size_t i = 0; i < sequences.size(); ++i) {
    for (const uint64_t hash : sequences[i]) holders_[hash].push_back(static_cast<uint32_t>(i));
  }
  const size_t common = std::max<size_t>(4, std::min<size_t>(prompts_.size() / 2, 100));
  std::erase_if(holders_, [common](const auto& entry) { return entry.second.size() >= common; });
  for (const auto& [hash, holders] : holders_) {
    for (const uint32_t holder : holders) ++prompts_[holder].sequences;
  }
  lengths_.assign(lengths.begin(), lengths.end());
  shared_.assign(prompts_.size(), 0);
  found_.prompts = static_cast<int64_t>(prompts_.size());
}

HeldOutPrompts::Match HeldOutPrompts::look(std::string_view text) {
  Match match;
  const auto meet = [&](Prompt& prompt) {
    match.any = true;
    if (!prompt.found) ++found_.found;
    prompt.found = true;
  };
  const std::vector<uint64_t> words = word_hashes(text);
  if (words.empty()) return match;
  if (const auto same = whole_.find(key_of(words)); same != whole_.end()) {
    meet(prompts_[same->second]);
    match.held = &prompts_[same->second];
  }
  std::unordered_set<uint64_t> seen;
  std::vector<uint32_t> touched;
  for (const size_t length : lengths_) {
    each_sequence(words, length, [&](uint64_t hash) {
      const auto holders = holders_.find(hash);
      if (holders == holders_.end() || !seen.insert(hash).second) return;
      for (const uint32_t holder : holders->second) {
        if (shared_[holder]++ == 0) touched.push_back(holder);
      }
    });
  }
  for (const uint32_t holder : touched) {
    Prompt& prompt = prompts_[holder];
    meet(prompt);
    if (match.held == nullptr && 2 * int64_t{shared_[holder]} >= prompt.sequences) {
      match.held = &prompt;
    }
    shared_[holder] = 0;
  }
  return match;
}

void HeldOutPrompts::take_out(std::vector<Example>& rows, std::vector<LeftOut>& left_out) {
  if (prompts_.empty()) return;
  std::erase_if(rows, [&](const Example& row) {
    const Match match = look(compared_text(row));
    found_.rows_overlapping += match.any ? 1 : 0;
    if (match.held == nullptr) return false;
    ++found_.rows_removed;
    left_out.push_back({LeftOut::Reason::kHeldOut, place_of(row), "as " + match.held->where});
    return true;
  });
}

}  // namespace alambic
