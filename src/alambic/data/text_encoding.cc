#include "alambic/data/text_encoding.h"

#include <algorithm>
#include <array>
#include <optional>

#include "alambic/base/error.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

enum class Encoding { kUtf8, kLatin1, kWindows1252, kUtf16, kUtf16Le, kUtf16Be };

std::optional<Encoding> encoding_called(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (c == '-' || c == '_' || c == ' ') continue;
    plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  constexpr std::pair<std::string_view, Encoding> kNames[] = {
      {"utf8", Encoding::kUtf8},          {"utf8sig", Encoding::kUtf8},
      {"latin1", Encoding::kLatin1},      {"iso88591", Encoding::kLatin1},
      {"cp1252", Encoding::kWindows1252}, {"windows1252", Encoding::kWindows1252},
      {"utf16", Encoding::kUtf16},        {"utf16le", Encoding::kUtf16Le},
      {"utf16be", Encoding::kUtf16Be},
  };
  for (const auto& [known, encoding] : kNames) {
    if (plain == known) return encoding;
  }
  return std::nullopt;
}

Encoding encoding_of(std::string_view name, std::string_view where) {
  const std::optional<Encoding> encoding = encoding_called(name);
  if (!encoding) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] encoding \"{}\"; want utf-8, latin-1, windows-1252, utf-16, utf-16le or utf-16be",
         where, name.substr(0, 40));
  }
  return *encoding;
}

// What Windows-1252 puts at 0x80 to 0x9f; 0 where it has nothing.
constexpr std::array<char32_t, 32> kWindows = {
    0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017d, 0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178};

int64_t line_of(std::string_view bytes, size_t at) {
  return 1 + std::count(bytes.begin(), bytes.begin() + static_cast<int64_t>(at), '\n');
}

std::string use(std::string_view encoding) {
  return fmt::format("set data.encoding = \"{0}\", or --encoding {0}", encoding);
}

// What bytes that are not UTF-8 may be.
std::string advice(std::string_view bytes) {
  const auto undefined = [](char c) {
    const auto byte = static_cast<uint8_t>(c);
    return byte >= 0x80 && byte < 0xa0 && kWindows[byte - 0x80] == 0;
  };
  int64_t good = 0, bad = 0;
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Step step = decode_utf8(bytes, at);
    if (!step.valid) ++bad;
    if (step.valid && step.length > 1) ++good;
    at += step.length;
  }
  if (good > bad) return "the rest of the file is UTF-8: mend or remove these bytes";
  if (std::any_of(bytes.begin(), bytes.end(), undefined)) {
    return "neither is it Windows-1252; save it as UTF-8";
  }
  return "it looks like windows-1252: " + use("windows-1252");
}

// Latin letters in UTF-16 have a zero beside each: in front, or behind.
enum class Zeros { kNone, kInFront, kBehind };
Zeros zeros_of(std::string_view bytes) {
  constexpr size_t kLooked = 200;
  const std::string_view head = bytes.substr(0, kLooked);
  size_t even = 0, odd = 0;
  for (size_t i = 0; i < head.size(); ++i) (i % 2 == 0 ? even : odd) += head[i] == '\0' ? 1 : 0;
  if (head.size() < 4 || 3 * std::max(even, odd) <= head.size()) return Zeros::kNone;
  return even > odd ? Zeros::kInFront : Zeros::kBehind;
}

std::string from_utf8(std::string bytes, std::string_view where) {
  const std::string_view view = bytes;
  if (view.starts_with("\xff\xfe") || view.starts_with("\xfe\xff")) {
    fail(ErrorCode::kCorruptData, "[{}:1] begins with the byte order mark of UTF-16: {}", where,
         use("utf-16"));
  }
  if (const Zeros zeros = zeros_of(view); zeros != Zeros::kNone) {
    fail(ErrorCode::kCorruptData, "[{}:1] looks like UTF-16: {}", where,
         use(zeros == Zeros::kInFront ? "utf-16be" : "utf-16le"));
  }
  const size_t valid = valid_utf8_prefix(view);
  if (valid < view.size()) {
    fail(ErrorCode::kCorruptData, "[{}:{}] is not UTF-8 at byte {} (0x{:02x}); {}", where,
         line_of(view, valid), valid, static_cast<uint8_t>(view[valid]), advice(view));
  }
  if (view.starts_with("\xef\xbb\xbf")) bytes.erase(0, 3);
  return bytes;
}

std::string from_bytes(std::string_view bytes, bool windows, std::string_view where) {
  std::string text;
  text.reserve(bytes.size() + bytes.size() / 8);
  if (bytes.starts_with("\xef\xbb\xbf")) {
    fail(ErrorCode::kCorruptData, "[{}:1] begins with the byte order mark of UTF-8: {}", where,
         use("utf-8"));
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<uint8_t>(bytes[i]);
    char32_t code = byte;
    if (windows && byte >= 0x80 && byte < 0xa0) {
      code = kWindows[byte - 0x80];
      if (code == 0) {
        fail(ErrorCode::kCorruptData, "[{}:{}] is not Windows-1252 at byte {} (0x{:02x})", where,
             line_of(bytes, i), i, byte);
      }
    }
    append_utf8(text, code);
  }
  return text;
}

std::string from_utf16(std::string_view bytes, Encoding encoding, std::string_view where) {
  bool big = encoding == Encoding::kUtf16Be;
  if (bytes.starts_with("\xff\xfe") && !big) {
    bytes.remove_prefix(2);
  } else if (bytes.starts_with("\xfe\xff") && encoding != Encoding::kUtf16Le) {
    big = true;
    bytes.remove_prefix(2);
  } else if (const Zeros zeros = zeros_of(bytes);
             zeros != Zeros::kNone && big != (zeros == Zeros::kInFront)) {
    fail(ErrorCode::kCorruptData, "[{}:1] looks like UTF-16 of the other byte order: {}", where,
         use(big ? "utf-16le" : "utf-16be"));
  }
  std::string text;
  text.reserve(bytes.size());
  const auto broken = [&](const char* what) {
    fail(ErrorCode::kCorruptData, "[{}:{}] is not UTF-16: {}", where,
         1 + std::count(text.begin(), text.end(), '\n'), what);
  };
  const auto unit = [&](size_t at) {
    const auto first = static_cast<uint8_t>(bytes[at]),
               second = static_cast<uint8_t>(bytes[at + 1]);
    return static_cast<char32_t>(big ? first << 8 | second : second << 8 | first);
  };
  if (bytes.size() % 2 != 0) broken("it has an odd number of bytes");
  for (size_t at = 0; at < bytes.size(); at += 2) {
    char32_t code = unit(at);
    if (code >= 0xd800 && code <= 0xdfff) {
      const char32_t low = code < 0xdc00 && at + 2 < bytes.size() ? unit(at + 2) : 0;
      if (low < 0xdc00 || low > 0xdfff) broken("half of a surrogate pair");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      at += 2;
    }
    append_utf8(text, code);
  }
  return text;
}

}  // namespace

void check_encoding(std::string_view encoding, std::string_view where) {
  encoding_of(encoding, where);
}

std::string decode_text(std::string bytes, std::string_view encoding, std::string_view where) {
  std::string text;
  switch (const Encoding known = encoding_of(encoding, where)) {
    case Encoding::kUtf8:
      text = from_utf8(std::move(bytes), where);
      break;
    case Encoding::kLatin1:
      text = from_bytes(bytes, false, where);
      break;
    case Encoding::kWindows1252:
      text = from_bytes(bytes, true, where);
      break;
    default:
      text = from_utf16(bytes, known, where);
  }
  if (text.find('\n') == std::string::npos) std::replace(text.begin(), text.end(), '\r', '\n');
  return text;
}

}  // namespace alambic
