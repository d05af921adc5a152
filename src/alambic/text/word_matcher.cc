#include "alambic/text/word_matcher.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "alambic/text/published_patterns.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

// The classes of characters that the expressions tell apart.
using Classes = uint16_t;
constexpr Classes kUpper = 1;        // Lu, Lt
constexpr Classes kLower = 2;        // Ll
constexpr Classes kOtherLetter = 4;  // Lm, Lo
constexpr Classes kCombining = 8;
constexpr Classes kNumber = 16;
constexpr Classes kSpace = 32;
constexpr Classes kNewline = 64;       // \r and \n, which are spaces too
constexpr Classes kPunctuation = 128;  // P
constexpr Classes kSign = 256;         // S
constexpr Classes kLetter = kUpper | kLower | kOtherLetter;
constexpr Classes kUpperRun = kUpper | kOtherLetter | kCombining;
constexpr Classes kLowerRun = kLower | kOtherLetter | kCombining;

Classes look_up(char32_t code) {
  if (is_white_space(code)) {
    return code == '\r' || code == '\n' ? Classes{kSpace | kNewline} : kSpace;
  }
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT:
      return kUpper;
    case UTF8PROC_CATEGORY_LL:
      return kLower;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return kOtherLetter;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return kCombining;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return kNumber;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return kPunctuation;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
      return kSign;
    default:
      return 0;
  }
}

// The classes of the first 2^16 characters.
const std::vector<Classes>& class_table() {
  static const std::vector<Classes> table = [] {
    std::vector<Classes> classes(1 << 16);
    for (char32_t code = 0; code < classes.size(); ++code) classes[code] = look_up(code);
    return classes;
  }();
  return table;
}

// Looks at characters of UTF-8 text by their place.
class Text {
 public:
  explicit Text(std::string_view text) : text_(text), table_(class_table().data()) {}

  struct Character {
    Classes classes;
    uint8_t length;  // 0 at the end of the text
  };
  Character at(size_t place) const {
    if (place >= text_.size()) return {0, 0};
    const auto lead = static_cast<uint8_t>(text_[place]);
    if (lead < 0x80) return {table_[lead], 1};
    const Utf8Step step = decode_utf8(text_, place);
    return {step.code < (1 << 16) ? table_[step.code] : look_up(step.code), step.length};
  }
  bool ends(size_t place) const { return place >= text_.size(); }
  // The byte at a place, 0 at the end.
  char byte(size_t place) const { return place < text_.size() ? text_[place] : '\0'; }
  bool starts_with(size_t place, std::string_view what) const {
    return text_.substr(std::min(place, text_.size())).starts_with(what);
  }

  // The end of the run of characters of any of these classes.
  size_t skip(size_t place, Classes classes) const {
    for (Character c = at(place); (c.classes & classes) != 0; c = at(place)) place += c.length;
    return place;
  }
  // The end of the run of characters of none of these classes.
  size_t skip_others(size_t place, Classes classes) const {
    for (Character c = at(place); c.length > 0 && (c.classes & classes) == 0; c = at(place)) {
      place += c.length;
    }
    return place;
  }

 private:
  std::string_view text_;
  const Classes* table_;
};

// 's 't 'm 'd 're 've 'll: the length of the one that stands at `at`, else 0.
size_t contraction(const Text& text, size_t at, bool any_case) {
  if (text.byte(at) != '\'') return 0;
  const auto letter = [&](size_t place) {
    const char c = text.byte(place);
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  switch (letter(at + 1)) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 2;
    case 'r':
    case 'v':
      return letter(at + 2) == 'e' ? 3 : 0;
    case 'l':
      return letter(at + 2) == 'l' ? 3 : 0;
    default:
      break;
  }
  // The long s is an s to whoever ignores case.
  return any_case && text.starts_with(at + 1, "\xC5\xBF") ? 3 : 0;
}

// \s+(?!\S)|\s+, and before them, where `by_lines`, \s*[\r\n]+: white space leaves its last
// character to the word that follows.
size_t white_space(const Text& text, size_t at, bool by_lines) {
  size_t end = at, last = at, after_newline = 0;
  for (auto c = text.at(end); (c.classes & kSpace) != 0; c = text.at(end)) {
    last = end;
    end += c.length;
    if ((c.classes & kNewline) != 0) after_newline = end;
  }
  if (by_lines && after_newline > 0) return after_newline;
  return text.ends(end) || last == at ? end : last;
}

size_t gpt2_word(std::string_view string, size_t at) {
  const Text text(string);
  if (const size_t length = contraction(text, at, false)) return at + length;
  const bool space = text.byte(at) == ' ';
  const size_t start = space ? at + 1 : at;
  const auto first = text.at(start);
  if (first.length == 0 || (first.classes & kSpace) != 0) return white_space(text, at, false);
  if ((first.classes & kLetter) != 0) return text.skip(start + first.length, kLetter);
  if ((first.classes & kNumber) != 0) return text.skip(start + first.length, kNumber);
  return text.skip_others(start + first.length, kSpace | kLetter | kNumber);
}

// \p{N}{1,most}
size_t digits(const Text& text, size_t at, int most) {
  for (int i = 0; i < most; ++i) {
    const auto c = text.at(at);
    if ((c.classes & kNumber) == 0) break;
    at += c.length;
  }
  return at;
}

// ` ?[^\s\p{L}\p{N}]+[\r\n]*`, where marks too may be excluded and "/" may be part of the tail; 0
// if it does not match.
size_t symbols(const Text& text, size_t at, Classes excluded, bool slash) {
  const size_t start = text.byte(at) == ' ' ? at + 1 : at;
  size_t end = text.skip_others(start, excluded);
  if (end == start) return 0;
  while (text.byte(end) == '\r' || text.byte(end) == '\n' || (slash && text.byte(end) == '/')) {
    ++end;
  }
  return end;
}

// LLaMA 3 and Qwen: they differ in how many digits go together and in what letters are.
template <int kDigits, Classes kWord>
size_t llama3_word(std::string_view string, size_t at) {
  const Text text(string);
  if (const size_t length = contraction(text, at, true)) return at + length;
  const auto first = text.at(at);
  if ((first.classes & kWord) != 0) return text.skip(at + first.length, kWord);
  if ((first.classes & kNumber) != 0) return digits(text, at, kDigits);
  if ((first.classes & kNewline) == 0) {
    const auto second = text.at(at + first.length);
    if ((second.classes & kWord) != 0) {
      return text.skip(at + first.length + second.length, kWord);
    }
  }
  if (const size_t end = symbols(text, at, kSpace | kNumber | kWord, false)) return end;
  return white_space(text, at, true);
}

// U*L+ for upper-run and lower-run classes, which overlap; 0 if it does not match.
size_t capitals_then_small(const Text& text, size_t at) {
  size_t overlap_end = 0;
  for (auto c = text.at(at); (c.classes & kUpperRun) != 0; c = text.at(at)) {
    at += c.length;
    if ((c.classes & kLowerRun) != 0) overlap_end = at;
  }
  const size_t end = text.skip(at, kLowerRun);
  // Else capitals give back what they took, up to a character that is of both classes.
  return end > at ? end : overlap_end;
}

// U+L*; 0 if it does not match.
size_t capitals(const Text& text, size_t at) {
  const size_t end = text.skip(at, kUpperRun);
  return end > at ? text.skip(end, kLowerRun) : 0;
}

template <int kDigits, bool kContractions>
size_t o200k_word(std::string_view string, size_t at) {
  const Text text(string);
  const auto first = text.at(at);
  // A word may begin with one character that is neither letter, number nor line break.
  const bool optional = (first.classes & (kLetter | kNumber | kNewline)) == 0;
  for (size_t (*const word)(const Text&, size_t) : {capitals_then_small, capitals}) {
    size_t end = optional ? word(text, at + first.length) : 0;
    if (end == 0) end = word(text, at);
    if (end > 0) return end + (kContractions ? contraction(text, end, true) : 0);
  }
  if ((first.classes & kNumber) != 0) return digits(text, at, kDigits);
  if (const size_t end = symbols(text, at, kSpace | kLetter | kNumber, true)) return end;
  return white_space(text, at, true);
}

// \s?C+ for the characters of `kRun`.
template <Classes kRun>
WordSpan spaced_run(std::string_view string, size_t at) {
  const Text text(string);
  size_t begin = at;  // of a match whose run begins at `at`: a white space right before it counts
  for (auto c = text.at(at); c.length > 0; c = text.at(at)) {
    if ((c.classes & kRun) != 0) return {begin, text.skip(at + c.length, kRun)};
    begin = (c.classes & kSpace) != 0 ? at : at + c.length;
    at += c.length;
  }
  return {at, at};
}

// \p{N}{1,3}
WordSpan three_digits(std::string_view string, size_t at) {
  const Text text(string);
  at = text.skip_others(at, kNumber);
  return {at, digits(text, at, 3)};
}

// [\r\n]
WordSpan line_break(std::string_view text, size_t at) {
  while (at < text.size() && text[at] != '\n' && text[at] != '\r') ++at;
  return {at, std::min(at + 1, text.size())};
}

// Two spaces and more.
WordSpan many_spaces(std::string_view text, size_t at) {
  const size_t begin = std::min(text.find("  ", at), text.size());
  return {begin, std::min(text.find_first_not_of(' ', begin), text.size())};
}

// What a SentencePiece normaliser takes off both ends of a text.
WordSpan outer_spaces(std::string_view text, size_t at) {
  constexpr std::string_view kSpaceMark = "▁";
  if (at == 0 && text.starts_with(' '))
    return {0, std::min(text.find_first_not_of(' '), text.size())};
  size_t begin = text.size();
  for (std::string_view rest = text; begin > at; rest = text.substr(0, begin)) {
    const size_t length = rest.ends_with(' ') ? 1 : rest.ends_with(kSpaceMark) ? 3 : 0;
    if (length == 0) break;
    begin -= length;
  }
  return {begin, text.size()};
}

// C+ for characters of three bytes in UTF-8.
template <bool (*kContains)(char32_t)>
WordSpan run_beyond_latin(std::string_view text, size_t at) {
  const auto step_in = [&](size_t place) -> size_t {
    if (place >= text.size() || static_cast<uint8_t>(text[place]) < 0xE0) return 0;
    const Utf8Step step = decode_utf8(text, place);
    return kContains(step.code) ? step.length : 0;
  };
  while (at < text.size() && step_in(at) == 0) ++at;
  size_t end = at;
  while (const size_t length = step_in(end)) end += length;
  return {at, end};
}

bool is_deepseek_coder_script(char32_t code) {
  return (code >= 0x0800 && code <= 0x9FA5) || (code >= 0xAC00 && code <= 0xD7FF);
}

bool is_deepseek3_script(char32_t code) {
  return (code >= 0x4E00 && code <= 0x9FA5) || (code >= 0x3040 && code <= 0x30FF);
}

// The third of DeepSeek V3's expressions: the end of a match at `at`, or `at` if it matches
// nothing there.
size_t deepseek3_word(const Text& text, size_t at) {
  constexpr Classes kWord = kLetter | kCombining, kMarks = kPunctuation | kSign;
  const auto ascii_letter = [&](size_t place) {
    const char c = text.byte(place);
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  const auto first = text.at(at);
  if ((first.classes & kWord) != 0) return text.skip(at + first.length, kWord);
  if (first.length == 1 && (first.classes & kMarks) != 0 && ascii_letter(at + 1)) {
    do ++at;
    while (ascii_letter(at));
    return at;
  }
  if ((first.classes & (kNewline | kMarks)) == 0) {
    const auto second = text.at(at + first.length);
    if ((second.classes & kWord) != 0) {
      return text.skip(at + first.length + second.length, kWord);
    }
  }
  const size_t marks = text.byte(at) == ' ' ? at + 1 : at;
  if (const size_t end = text.skip(marks, kMarks); end > marks) {
    size_t tail = end;
    while (text.byte(tail) == '\r' || text.byte(tail) == '\n') ++tail;
    return tail;
  }
  return (first.classes & kSpace) != 0 ? white_space(text, at, true) : at;
}

WordSpan deepseek3_span(std::string_view string, size_t at) {
  const Text text(string);
  for (auto c = text.at(at); c.length > 0; c = text.at(at)) {
    if (const size_t end = deepseek3_word(text, at); end > at) return {at, end};
    at += c.length;
  }
  return {at, at};
}

}  // namespace

WordSearch find_word_search(std::string_view expression) {
  constexpr std::pair<std::string_view, WordSearch> kSearches[] = {
      {kLineBreakExpression, line_break},
      {kLineBreakEscapes, line_break},
      {kSpacedLettersExpression, spaced_run<kLetter>},
      {kSpacedPunctuationExpression, spaced_run<kPunctuation>},
      {kDeepSeekCoderScripts, run_beyond_latin<is_deepseek_coder_script>},
      {kThreeDigitsExpression, three_digits},
      {kDeepSeek3Scripts, run_beyond_latin<is_deepseek3_script>},
      {kDeepSeek3Expression, deepseek3_span},
      {kManySpacesExpression, many_spaces},
      {kOuterSpacesExpression, outer_spaces},
  };
  for (const auto& [known, search] : kSearches) {
    if (known == expression) return search;
  }
  return nullptr;
}

WordEnd find_word_matcher(std::string_view expression) {
  constexpr std::pair<std::string_view, WordEnd> kMatchers[] = {
      {kGpt2Expression, gpt2_word},
      {kLlama3Expression, llama3_word<3, kLetter>},
      {kCl100kExpression, llama3_word<3, kLetter>},
      {kQwen2Expression, llama3_word<1, kLetter>},
      {kQwen35Expression, llama3_word<1, kLetter | kCombining>},
      {kO200kExpression, o200k_word<3, true>},
      {kTekkenExpression, o200k_word<1, false>},
  };
  for (const auto& [known, matcher] : kMatchers) {
    if (known == expression) return matcher;
  }
  return nullptr;
}

}  // namespace alambic
