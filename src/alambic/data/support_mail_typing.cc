#include "alambic/data/support_mail_typing.h"

#include <array>
#include <utility>
#include <vector>

namespace alambic {
namespace {

bool is_small_letter(char c) { return c >= 'a' && c <= 'z'; }

// The key to the left or right of `key`.
char neighbour(char key, bool azerty, Rng& rng) {
  constexpr std::array<std::string_view, 3> kQwerty = {"qwertyuiop", "asdfghjkl", "zxcvbnm"};
  constexpr std::array<std::string_view, 3> kAzerty = {"azertyuiop", "qsdfghjklm", "wxcvbn"};
  for (const std::string_view row : azerty ? kAzerty : kQwerty) {
    const size_t at = row.find(key);
    if (at == std::string_view::npos) continue;
    if (at == 0) return row[1];
    if (at + 1 == row.size()) return row[at - 1];
    return rng.below(2) == 0 ? row[at - 1] : row[at + 1];
  }
  return key;
}

// The inner letters of words of at least four letters, each with a letter behind it.
std::vector<size_t> places_for_slips(std::string_view text) {
  std::vector<size_t> places;
  int depth = 0;
  for (size_t begin = 0; begin < text.size();) {
    if (text[begin] == '{') ++depth;
    if (text[begin] == '}') --depth;
    size_t end = begin;
    while (end < text.size() &&
           (is_small_letter(text[end]) || (end == begin && text[end] >= 'A' && text[end] <= 'Z')))
      ++end;
    if (end < begin + 4 || depth > 0) {
      begin = end > begin ? end : begin + 1;
      continue;
    }
    for (size_t i = begin + 1; i + 1 < end; ++i) places.push_back(i);
    begin = end;
  }
  return places;
}

// The code point that starts at `at`, where it is one of Latin-1 behind ASCII; else 0.
unsigned latin1_at(std::string_view text, size_t at) {
  if (at + 1 >= text.size() || static_cast<unsigned char>(text[at]) != 0xC3) return 0;
  return 0xC0U + (static_cast<unsigned char>(text[at + 1]) & 0x3FU);
}

}  // namespace

std::string with_slip(std::string_view text, bool azerty, Rng& rng) {
  std::string slipped(text);
  const std::vector<size_t> places = places_for_slips(text);
  const uint64_t kind = rng.below(5);
  if (const size_t apostrophe = slipped.find('\''); kind == 4 && apostrophe != std::string::npos)
    return slipped.erase(apostrophe, 1);
  if (places.empty()) return slipped;
  const size_t at = places[rng.below(places.size())];
  if (kind == 0) std::swap(slipped[at], slipped[at + 1]);
  if (kind == 1) slipped.insert(at, 1, slipped[at]);
  if (kind == 2) slipped.erase(at, 1);
  if (kind >= 3) slipped[at] = neighbour(slipped[at], azerty, rng);
  return slipped;
}

std::string without_capitals(std::string_view text) {
  std::string small(text);
  for (size_t i = 0; i < small.size(); ++i) {
    if (small[i] >= 'A' && small[i] <= 'Z') small[i] = static_cast<char>(small[i] - 'A' + 'a');
    const unsigned code = latin1_at(text, i);
    if (code >= 0xC0 && code <= 0xDE && code != 0xD7)
      small[i + 1] = static_cast<char>(small[i + 1] + 0x20);
  }
  return small;
}

std::string without_accents(std::string_view text) {
  // From À (U+00C0) to ÿ (U+00FF); a space stays as it is.
  constexpr std::string_view kPlain =
      "AAAAAA CEEEEIIII NOOOOO OUUUUY  aaaaaa ceeeeiiii nooooo ouuuuy y";
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned code = latin1_at(text, i);
    if (code != 0 && kPlain[code - 0xC0] != ' ') {
      plain += kPlain[code - 0xC0];
      ++i;
    } else if (text.substr(i, 2) == "œ") {
      plain += "oe";
      ++i;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::string without_punctuation(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool mark = std::string_view(".,!?").find(text[i]) != std::string_view::npos;
    const bool ends_word = i + 1 == text.size() || text[i + 1] == ' ' || text[i + 1] == '\n';
    if (!mark || !ends_word) {
      plain += text[i];
    } else if (!plain.empty() && plain.back() == ' ') {
      plain.pop_back();  // French puts a space before some of them
    }
  }
  return plain;
}

}  // namespace alambic
