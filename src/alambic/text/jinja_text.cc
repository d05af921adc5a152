#include "alambic/text/jinja_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <utility>

#include "alambic/text/unicode.h"

namespace alambic::jinja {
namespace {

bool is_line_end(char32_t code) {
  return (code >= 0x0a && code <= 0x0d) || (code >= 0x1c && code <= 0x1e) || code == 0x85 ||
         code == 0x2028 || code == 0x2029;
}

utf8proc_category_t category(char32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

bool is_letter(char32_t code) {
  const auto kind = category(code);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

// Unicode's digits beyond the decimal ones: superscripts, circled and the like.
bool is_other_digit(char32_t code) {
  static constexpr std::array<std::pair<char32_t, char32_t>, 20> kRanges = {
      {{0xb2, 0xb3},       {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},
       {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
       {0x2474, 0x247c},   {0x2488, 0x2490},   {0x24ea, 0x24ea},   {0x24f5, 0x24fd},
       {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},   {0x278a, 0x2792},
       {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a}}};
  return std::any_of(kRanges.begin(), kRanges.end(), [code](const auto& range) {
    return code >= range.first && code <= range.second;
  });
}

// Characters whose capital is more than one character, as far as living orthographies go.
const char* long_capital(char32_t code, bool title) {
  switch (code) {
    case 0xdf:
      return title ? "Ss" : "SS";
    case 0x149:
      return "\xca\xbcN";
    case 0x1f0:
      return "J\xcc\x8c";
    case 0x587:
      return title ? "\xd4\xb5\xd6\x82" : "\xd4\xb5\xd5\x92";
    case 0xfb00:
      return title ? "Ff" : "FF";
    case 0xfb01:
      return title ? "Fi" : "FI";
    case 0xfb02:
      return title ? "Fl" : "FL";
    case 0xfb03:
      return title ? "Ffi" : "FFI";
    case 0xfb04:
      return title ? "Ffl" : "FFL";
    case 0xfb05:
    case 0xfb06:
      return title ? "St" : "ST";
    default:
      return nullptr;
  }
}

void append_upper(std::string& out, char32_t code, bool title) {
  if (const char* capital = long_capital(code, title)) {
    out += capital;
    return;
  }
  const auto wide = static_cast<utf8proc_int32_t>(code);
  append_utf8(out, static_cast<char32_t>(title ? utf8proc_totitle(wide) : utf8proc_toupper(wide)));
}

void append_lower(std::string& out, char32_t code) {
  if (code == 0x130) {
    out += "i\xcc\x87";
    return;
  }
  append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))));
}

bool is_upper(char32_t code) {
  return category(code) == UTF8PROC_CATEGORY_LU ||
         static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))) != code;
}

bool is_lower(char32_t code) {
  return category(code) == UTF8PROC_CATEGORY_LL ||
         (!is_upper(code) && category(code) != UTF8PROC_CATEGORY_LT &&
          static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(code))) != code);
}

bool is_cased(char32_t code) {
  return is_upper(code) || is_lower(code) || category(code) == UTF8PROC_CATEGORY_LT;
}

template <class Function>
void for_each_character(std::string_view text, const Function& function) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    function(step.code, text.substr(at, step.length));
    at += step.length;
  }
}

// The start of the character that ends before `end`.
size_t character_before(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && (text[at] & 0xc0) == 0x80) --at;
  return at;
}

bool stripped(std::string_view character, char32_t code,
              const std::optional<std::string_view>& characters) {
  if (!characters) return is_python_space(code);
  return characters->find(character) != std::string_view::npos;
}

std::vector<std::string_view> split_at_space(std::string_view text, int64_t limit) {
  std::vector<std::string_view> pieces;
  text = strip(text, std::nullopt, Side::kLeft);
  while (!text.empty()) {
    if (limit >= 0 && std::cmp_equal(pieces.size(), limit)) {
      pieces.push_back(text);
      break;
    }
    size_t end = 0;
    while (end < text.size()) {
      const Utf8Step step = decode_utf8(text, end);
      if (is_python_space(step.code)) break;
      end += step.length;
    }
    pieces.push_back(text.substr(0, end));
    text = strip(text.substr(end), std::nullopt, Side::kLeft);
  }
  return pieces;
}

std::vector<std::string_view> split_at_space_from_right(std::string_view text, int64_t limit) {
  std::vector<std::string_view> pieces;
  text = strip(text, std::nullopt, Side::kRight);
  while (!text.empty()) {
    if (limit >= 0 && std::cmp_equal(pieces.size(), limit)) {
      pieces.push_back(text);
      break;
    }
    size_t begin = text.size();
    while (begin > 0) {
      const size_t at = character_before(text, begin);
      if (is_python_space(decode_utf8(text, at).code)) break;
      begin = at;
    }
    pieces.push_back(text.substr(begin));
    text = strip(text.substr(0, begin), std::nullopt, Side::kRight);
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

}  // namespace

bool is_python_space(char32_t code) {
  return is_white_space(code) || (code >= 0x1c && code <= 0x1f);
}

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

size_t byte_of_character(std::string_view text, size_t index) {
  size_t at = 0;
  while (index > 0 && at < text.size()) {
    at += decode_utf8(text, at).length;
    --index;
  }
  return at;
}

std::string_view strip(std::string_view text, std::optional<std::string_view> characters,
                       Side side) {
  if (side != Side::kRight) {
    while (!text.empty()) {
      const Utf8Step step = decode_utf8(text, 0);
      if (!stripped(text.substr(0, step.length), step.code, characters)) break;
      text.remove_prefix(step.length);
    }
  }
  if (side != Side::kLeft) {
    while (!text.empty()) {
      const size_t at = character_before(text, text.size());
      if (!stripped(text.substr(at), decode_utf8(text, at).code, characters)) break;
      text.remove_suffix(text.size() - at);
    }
  }
  return text;
}

std::vector<std::string_view> split_text(std::string_view text,
                                         std::optional<std::string_view> separator, int64_t limit,
                                         Side from) {
  if (!separator) {
    return from == Side::kRight ? split_at_space_from_right(text, limit)
                                : split_at_space(text, limit);
  }
  std::vector<std::string_view> pieces;
  if (from == Side::kRight) {
    while (limit < 0 || std::cmp_less(pieces.size(), limit)) {
      const size_t at = text.rfind(*separator);
      if (at == std::string_view::npos) break;
      pieces.push_back(text.substr(at + separator->size()));
      text = text.substr(0, at);
    }
    pieces.push_back(text);
    std::reverse(pieces.begin(), pieces.end());
    return pieces;
  }
  while (limit < 0 || std::cmp_less(pieces.size(), limit)) {
    const size_t at = text.find(*separator);
    if (at == std::string_view::npos) break;
    pieces.push_back(text.substr(0, at));
    text.remove_prefix(at + separator->size());
  }
  pieces.push_back(text);
  return pieces;
}

std::vector<std::string_view> split_text_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    size_t end = at + step.length;
    if (is_line_end(step.code)) {
      if (step.code == '\r' && end < text.size() && text[end] == '\n') ++end;
      lines.push_back(text.substr(begin, (keep_ends ? end : at) - begin));
      begin = end;
    }
    at = end;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::string replace_text(std::string_view text, std::string_view from, std::string_view to,
                         int64_t limit, size_t max_bytes) {
  std::string out;
  int64_t done = 0;
  size_t at = 0;
  const auto more = [&] { return (limit < 0 || done < limit) && out.size() <= max_bytes; };
  if (from.empty()) {
    while (more()) {
      out += to;
      ++done;
      if (at >= text.size()) return out;
      const size_t length = decode_utf8(text, at).length;
      out += text.substr(at, length);
      at += length;
    }
  } else {
    while (more()) {
      const size_t found = text.find(from, at);
      if (found == std::string_view::npos) break;
      out += text.substr(at, found - at);
      out += to;
      at = found + from.size();
      ++done;
    }
  }
  out += text.substr(at);
  return out;
}

std::string to_upper(std::string_view text) {
  std::string out;
  for_each_character(text,
                     [&](char32_t code, std::string_view) { append_upper(out, code, false); });
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  for_each_character(text, [&](char32_t code, std::string_view) { append_lower(out, code); });
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  for_each_character(text, [&](char32_t code, std::string_view) {
    if (is_upper(code)) {
      append_lower(out, code);
    } else {
      append_upper(out, code, false);
    }
  });
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  bool first = true;
  for_each_character(text, [&](char32_t code, std::string_view) {
    if (first) {
      append_upper(out, code, true);
    } else {
      append_lower(out, code);
    }
    first = false;
  });
  return out;
}

std::string title_words(std::string_view text) {
  std::string out;
  bool inside = false;
  for_each_character(text, [&](char32_t code, std::string_view) {
    if (inside) {
      append_lower(out, code);
    } else {
      append_upper(out, code, true);
    }
    inside = is_cased(code);
  });
  return out;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

bool all_characters(std::string_view text, CharacterTest test) {
  bool all = !text.empty() || test == CharacterTest::kAscii;
  for_each_character(text, [&](char32_t code, std::string_view) {
    const bool decimal = category(code) == UTF8PROC_CATEGORY_ND;
    switch (test) {
      case CharacterTest::kAlpha:
        all = all && is_letter(code);
        break;
      case CharacterTest::kDecimal:
        all = all && decimal;
        break;
      case CharacterTest::kDigit:
        all = all && (decimal || is_other_digit(code));
        break;
      case CharacterTest::kNumeric:
        all = all && is_numeric(code);
        break;
      case CharacterTest::kAlnum:
        all = all && (is_letter(code) || is_numeric(code));
        break;
      case CharacterTest::kSpace:
        all = all && is_python_space(code);
        break;
      case CharacterTest::kAscii:
        all = all && code < 0x80;
        break;
    }
  });
  return all;
}

bool has_case(std::string_view text, bool upper) {
  bool cased = false, right = true;
  for_each_character(text, [&](char32_t code, std::string_view) {
    if (!is_cased(code)) return;
    cased = true;
    right = right && (upper ? is_upper(code) : is_lower(code));
  });
  return cased && right;
}

bool is_identifier(std::string_view text) {
  bool good = !text.empty(), first = true;
  for_each_character(text, [&](char32_t code, std::string_view) {
    const auto kind = category(code);
    const bool start = code == '_' || is_letter(code) || kind == UTF8PROC_CATEGORY_NL;
    const bool further = kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_MC ||
                         kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_PC;
    good = good && (start || (!first && further));
    first = false;
  });
  return good;
}

SliceRange slice_range(size_t length, std::optional<int64_t> start, std::optional<int64_t> stop,
                       int64_t step) {
  const auto size = static_cast<int64_t>(length);
  // The ends that can be reached: one before the first position when walking backwards.
  const int64_t low = step < 0 ? -1 : 0, high = step < 0 ? size - 1 : size;
  const auto clamp = [&](const std::optional<int64_t>& at, int64_t fallback) {
    if (!at) return fallback;
    return *at < 0 ? std::max(*at < -size ? low : *at + size, low) : std::min(*at, high);
  };
  const int64_t begin = clamp(start, step < 0 ? high : low);
  const int64_t end = clamp(stop, step < 0 ? low : high);
  int64_t count = 0;
  if (step > 0 && begin < end) count = (end - begin - 1) / step + 1;
  // A stride of INT64_MIN has no positive counterpart.
  if (step < 0 && begin > end) {
    count = step < -size ? 1 : (begin - end - 1) / -step + 1;
  }
  return {begin, count, step};
}

std::string slice_text(std::string_view text, const SliceRange& range) {
  if (range.count == 0) return {};
  if (range.step == 1) {
    const size_t begin = byte_of_character(text, static_cast<size_t>(range.start));
    text.remove_prefix(begin);
    return std::string(text.substr(0, byte_of_character(text, static_cast<size_t>(range.count))));
  }
  std::vector<size_t> starts;
  starts.reserve(text.size() + 1);
  for (size_t at = 0; at < text.size(); at += decode_utf8(text, at).length) starts.push_back(at);
  starts.push_back(text.size());
  std::string out;
  int64_t at = range.start;
  for (int64_t i = 0; i < range.count; ++i) {
    const auto place = static_cast<size_t>(at);
    out += text.substr(starts[place], starts[place + 1] - starts[place]);
    if (i + 1 < range.count) at += range.step;
  }
  return out;
}

}  // namespace alambic::jinja
