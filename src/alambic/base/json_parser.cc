#include "alambic/base/json_parser.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <unordered_set>

namespace alambic {
namespace {

constexpr int kMaxDepth = 200;
constexpr std::string_view kBlank = " \t\r\n";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Bytes of the UTF-8 character at the front of `text`; 0 where there is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; };
  const auto follows = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const int first = byte(0), second = byte(1);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool good = follows(1) && follows(2) && !(first == 0xe0 && second < 0xa0) &&
                      !(first == 0xed && second > 0x9f);
    return good ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool good = follows(1) && follows(2) && follows(3) && !(first == 0xf0 && second < 0x90) &&
                      !(first == 0xf4 && second > 0x8f);
    return good ? 4 : 0;
  }
  return 0;
}

void append_code(std::string& out, uint32_t code) {
  const auto add = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xc0 | code >> 6);
    add(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    add(0xe0 | code >> 12);
    add(0x80 | (code >> 6 & 0x3f));
    add(0x80 | (code & 0x3f));
  } else {
    add(0xf0 | code >> 18);
    add(0x80 | (code >> 12 & 0x3f));
    add(0x80 | (code >> 6 & 0x3f));
    add(0x80 | (code & 0x3f));
  }
}

template <class J>
class Parser {
 public:
  Parser(std::string_view text, std::string_view where, KeyRule rule)
      : text_(text), where_(where), rule_(rule) {}

  J document() {
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;
    skip_blank();
    if (at_ == text_.size()) bad(at_, "it is empty");
    J value;
    read_value(value, 0);
    skip_blank();
    if (at_ < text_.size()) bad(at_, "more text follows the value");
    return value;
  }

 private:
  std::string place() const {
    return item_ > 0 ? fmt::format("{}: item {}", where_, item_) : std::string(where_);
  }

  [[noreturn]] void bad(size_t at, std::string_view what) const {
    const auto line = std::count(text_.begin(), text_.begin() + static_cast<int64_t>(at), '\n');
    fail(ErrorCode::kCorruptData, "[{}] not valid JSON at byte {}{}: {}", place(), at + 1,
         line > 0 ? fmt::format(", line {}", line + 1) : "", what);
  }

  void skip_blank() {
    while (at_ < text_.size() && kBlank.find(text_[at_]) != std::string_view::npos) ++at_;
  }
  char front() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  void read_value(J& out, int depth) {
    if (depth > kMaxDepth) {
      fail(ErrorCode::kCorruptData, "[{}] JSON nested more than {} deep", place(), kMaxDepth);
    }
    switch (front()) {
      case '{':
        return read_object(out, depth);
      case '[':
        return read_array(out, depth);
      case '"': {
        std::string text;
        read_string(text);
        out = std::move(text);
        return;
      }
      default:
        break;
    }
    if (is_digit(front()) || front() == '-') return read_number(out);
    if (take("true")) {
      out = true;
    } else if (take("false")) {
      out = false;
    } else if (take("null")) {
      out = nullptr;
    } else if (take("NaN")) {
      out = written_number<J>("NaN");
    } else if (take("Infinity")) {
      out = written_number<J>("Infinity");
    } else if (at_ == text_.size()) {
      bad(at_, "it ends in the middle");
    } else {
      bad(at_, "want a value");
    }
  }

  void read_array(J& out, int depth) {
    ++at_;
    out = J::array();
    auto& items = *out.template get_ptr<typename J::array_t*>();
    skip_blank();
    if (front() == ']') {
      ++at_;
      return;
    }
    for (;;) {
      if (depth == 0) ++item_;
      skip_blank();
      items.emplace_back();
      read_value(items.back(), depth + 1);
      skip_blank();
      if (front() == ',') {
        ++at_;
        continue;
      }
      if (front() != ']') bad(at_, end_or("want a comma or ] behind an item"));
      ++at_;
      if (depth == 0) item_ = 0;
      return;
    }
  }

  void read_object(J& out, int depth) {
    ++at_;
    out = J::object();
    auto& entries = *out.template get_ptr<typename J::object_t*>();
    std::unordered_set<std::string> many;  // the keys, where a look at each would take long
    skip_blank();
    if (front() == '}') {
      ++at_;
      return;
    }
    for (;;) {
      skip_blank();
      if (front() != '"') bad(at_, end_or("want a key in quotation marks"));
      std::string key;
      read_string(key);
      skip_blank();
      if (front() != ':') bad(at_, end_or("want a colon behind a key"));
      ++at_;
      skip_blank();
      read_value(slot(entries, std::move(key), many), depth + 1);
      skip_blank();
      if (front() == ',') {
        ++at_;
        continue;
      }
      if (front() != '}') bad(at_, end_or("want a comma or } behind a value"));
      ++at_;
      return;
    }
  }

  // Where the value of a new key goes.
  J& slot(Json::object_t& entries, std::string key, std::unordered_set<std::string>&) {
    const auto [place, fresh] = entries.try_emplace(std::move(key));
    if (!fresh && rule_ == KeyRule::kUnique) twice(place->first);
    return place->second;
  }
  // By hand: the library looks through all keys of an ordered object for each one.
  J& slot(OrderedJson::object_t& entries, std::string key, std::unordered_set<std::string>& many) {
    constexpr size_t kFew = 16;
    bool known = false;
    if (entries.size() < kFew) {
      known = std::any_of(entries.begin(), entries.end(),
                          [&key](const auto& entry) { return entry.first == key; });
    } else {
      if (many.empty()) {
        for (const auto& entry : entries) many.insert(entry.first);
      }
      known = !many.insert(key).second;
    }
    if (known && rule_ == KeyRule::kUnique) twice(key);
    if (known) return entries.at(key);
    entries.emplace_back(std::move(key), J());
    return entries.back().second;
  }

  [[noreturn]] void twice(const std::string& key) const {
    fail(ErrorCode::kCorruptData, "[{}] key {} occurs twice in one object", place(),
         dump_json(Json(key.substr(0, 80))));
  }

  const char* end_or(const char* what) const {
    return at_ == text_.size() ? "it ends in the middle" : what;
  }

  void read_number(J& out) {
    const size_t begin = at_;
    bool whole = true;
    const auto digits = [this](const char* what) {
      if (!is_digit(front())) bad(at_, what);
      while (is_digit(front())) ++at_;
    };
    if (front() == '-') ++at_;
    if (take("Infinity")) {
      out = written_number<J>(text_.substr(begin, at_ - begin));
      return;
    }
    if (front() == '0') {
      ++at_;
      if (is_digit(front())) bad(at_, "a number begins with 0");
    } else {
      digits("want a digit behind the minus sign");
    }
    if (front() == '.') {
      whole = false;
      ++at_;
      digits("want a digit behind the decimal point");
    }
    if (front() == 'e' || front() == 'E') {
      whole = false;
      ++at_;
      if (front() == '+' || front() == '-') ++at_;
      digits("want a digit in the exponent");
    }
    const std::string_view spelled = text_.substr(begin, at_ - begin);
    if (!(whole ? hold_integer(out, spelled) : hold_float(out, spelled))) {
      out = written_number<J>(spelled);
    }
  }

  bool hold_integer(J& out, std::string_view spelled) const {
    const char* end = spelled.data() + spelled.size();
    if (kSpelling && spelled == "-0") return false;
    if (spelled[0] == '-') {
      int64_t value = 0;
      if (std::from_chars(spelled.data(), end, value).ec != std::errc()) return false;
      out = value;
    } else {
      uint64_t value = 0;
      if (std::from_chars(spelled.data(), end, value).ec != std::errc()) return false;
      out = value;
    }
    return true;
  }

  bool hold_float(J& out, std::string_view spelled) const {
    double value = 0;
    const char* end = spelled.data() + spelled.size();
    if (std::from_chars(spelled.data(), end, value).ec != std::errc()) {
      // Too small is 0 to everyone; too large is no number here.
      value = std::strtod(std::string(spelled).c_str(), nullptr);
      if (!std::isfinite(value)) return false;
    }
    out = value;
    return !kSpelling || out.dump() == spelled;
  }

  void read_string(std::string& out) {
    const size_t begin = at_++;
    for (;;) {
      size_t plain = at_;
      while (plain < text_.size() && static_cast<uint8_t>(text_[plain]) >= 0x20 &&
             static_cast<uint8_t>(text_[plain]) < 0x80 && text_[plain] != '"' &&
             text_[plain] != '\\') {
        ++plain;
      }
      out.append(text_, at_, plain - at_);
      at_ = plain;
      if (at_ == text_.size()) bad(begin, "a text does not end");
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return;
      }
      if (c == '\\') {
        read_escape(out);
      } else if (static_cast<uint8_t>(c) < 0x20) {
        bad(at_, "a control character inside a text; write it as an escape");
      } else {
        const size_t length = utf8_length(text_.substr(at_));
        if (length == 0) bad(at_, "not UTF-8");
        out.append(text_, at_, length);
        at_ += length;
      }
    }
  }

  void read_escape(std::string& out) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    const size_t begin = at_++;
    const size_t named = front() == '\0' ? std::string_view::npos : kNames.find(front());
    if (named != std::string_view::npos) {
      ++at_;
      out.push_back(kMeanings[named]);
      return;
    }
    if (!take("u")) bad(begin, "an unknown escape");
    uint32_t code = read_unit(begin);
    const bool high = code >= 0xd800 && code < 0xdc00;
    if (high && take("\\u")) {
      const uint32_t low = read_unit(begin);
      if (low < 0xdc00 || low > 0xdfff) bad(begin, kLone);
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xd800 && code <= 0xdfff) {
      bad(begin, kLone);
    }
    append_code(out, code);
  }

  uint32_t read_unit(size_t begin) {
    uint32_t unit = 0;
    const std::string_view four = text_.substr(at_, 4);
    const auto [end, error] = std::from_chars(four.data(), four.data() + four.size(), unit, 16);
    if (error != std::errc() || end != four.data() + 4) {
      bad(begin, "\\u wants four hexadecimal digits");
    }
    at_ += 4;
    return unit;
  }

  static constexpr bool kSpelling = std::is_same_v<J, OrderedJson>;
  static constexpr const char* kLone =
      "half of a surrogate pair, which is no character (an emoji cut in two?)";
  std::string_view text_, where_;
  KeyRule rule_;
  size_t at_ = 0;
  int64_t item_ = 0;  // of a list at the top, from 1
};

}  // namespace

template <class J>
J parse_json_text(std::string_view text, std::string_view where, KeyRule rule) {
  return Parser<J>(text, where, rule).document();
}

template Json parse_json_text<Json>(std::string_view, std::string_view, KeyRule);
template OrderedJson parse_json_text<OrderedJson>(std::string_view, std::string_view, KeyRule);

}  // namespace alambic
