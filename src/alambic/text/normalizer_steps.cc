#include "alambic/text/normalizer_steps.h"

#include <utf8proc.h>

#include "alambic/text/unicode.h"

namespace alambic {
namespace {

// Calls `map(code, character, out)` for every character and copies what is none.
template <class Map>
std::string map_characters(std::string_view text, Map&& map) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    const std::string_view character = text.substr(at, step.length);
    step.valid ? map(step.code, character, out) : static_cast<void>(out += character);
    at += step.length;
  }
  return out;
}

utf8proc_category_t category(char32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

bool is_dropped_control(char32_t code) {
  if (code == '\t' || code == '\n' || code == '\r') return false;
  if (code < 0x80) return code < 0x20 || code == 0x7F;
  switch (category(code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CS:
      return true;
    default:
      return code == 0xFFFD;
  }
}

bool is_ideograph(char32_t code) {
  return (code >= 0x4E00 && code <= 0x9FFF) || (code >= 0x3400 && code <= 0x4DBF) ||
         (code >= 0x20000 && code <= 0x2A6DF) || (code >= 0x2A700 && code <= 0x2B73F) ||
         (code >= 0x2B740 && code <= 0x2B81F) || (code >= 0x2B920 && code <= 0x2CEAF) ||
         (code >= 0xF900 && code <= 0xFAFF) || (code >= 0x2F800 && code <= 0x2FA1F);
}

std::string clean(std::string_view text) {
  return map_characters(text, [](char32_t code, std::string_view character, std::string& out) {
    if (is_dropped_control(code)) return;
    if (is_white_space(code)) {
      out += ' ';
    } else {
      out += character;
    }
  });
}

std::string space_out_ideographs(std::string_view text) {
  return map_characters(text, [](char32_t code, std::string_view character, std::string& out) {
    if (!is_ideograph(code)) {
      out += character;
      return;
    }
    out += ' ';
    out += character;
    out += ' ';
  });
}

}  // namespace

std::string strip_accents(std::string_view text) {
  return map_characters(text, [](char32_t code, std::string_view character, std::string& out) {
    const auto kind = code < 0x300 ? UTF8PROC_CATEGORY_LL : category(code);
    const bool mark = kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_MC ||
                      kind == UTF8PROC_CATEGORY_ME;
    if (!mark) out += character;
  });
}

std::string nmt_normalize(std::string_view text) {
  return map_characters(text, [](char32_t code, std::string_view character, std::string& out) {
    const bool control = (code >= 0x1 && code <= 0x8) || code == 0xB ||
                         (code >= 0xE && code <= 0x1F) || code == 0x7F || code == 0x8F ||
                         code == 0x9F;
    const bool space = code == 0x9 || code == 0xA || code == 0xC || code == 0xD || code == 0x1680 ||
                       (code >= 0x200B && code <= 0x200F) || code == 0x2028 || code == 0x2029 ||
                       code == 0x2581 || code == 0xFEFF || code == 0xFFFD;
    if (control) return;
    if (space) {
      out += ' ';
    } else {
      out += character;
    }
  });
}

std::string bert_normalize(std::string_view text, const BertNormalizerOptions& options) {
  std::string out(text);
  if (options.clean_text) out = clean(out);
  if (options.handle_chinese_chars) out = space_out_ideographs(out);
  if (options.strip_accents) {
    out = map_characters(normalize_unicode(out, NormalForm::kNfd),
                         [](char32_t code, std::string_view character, std::string& kept) {
                           const bool accent =
                               code >= 0x300 && category(code) == UTF8PROC_CATEGORY_MN;
                           if (!accent) kept += character;
                         });
  }
  if (options.lowercase) out = lowercase(out);
  return out;
}

std::string strip_white_space(std::string_view text, bool left, bool right) {
  size_t begin = 0, end = text.size();
  while (left && begin < end) {
    const Utf8Step step = decode_utf8(text, begin);
    if (!step.valid || !is_white_space(step.code)) break;
    begin += step.length;
  }
  while (right && end > begin) {
    size_t at = end - 1;
    while (at > begin && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
    const Utf8Step step = decode_utf8(text, at);
    if (!step.valid || at + step.length != end || !is_white_space(step.code)) break;
    end = at;
  }
  return std::string(text.substr(begin, end - begin));
}

}  // namespace alambic
