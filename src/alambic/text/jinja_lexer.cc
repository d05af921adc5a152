#include "alambic/text/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <optional>

#include "alambic/base/error.h"
#include "alambic/text/jinja_text.h"
#include "alambic/text/unicode.h"

namespace alambic::jinja {
namespace {

// Longest first.
constexpr std::array<std::string_view, 26> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

// Line ends become \n, and the last one goes.
std::string normalized_lines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

bool digit_in(char c, int base) {
  if (base == 16) return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
  return c >= '0' && c < '0' + base;
}

class Lexer {
 public:
  Lexer(std::string_view source, std::string_view where)
      : text_(normalized_lines(source)), where_(where) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) data();
    add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(text_).substr(at_); }
  char peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  [[noreturn]] void syntax_error(const std::string& what) const {
    fail(ErrorCode::kCorruptData, "[{}:{}] {}", where_, line_, what);
  }
  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  void advance(size_t bytes) {
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(at_ + bytes),
                                         '\n'));
    at_ += bytes;
    line_starting_ = at_ > 0 && text_[at_ - 1] == '\n';
  }
  void skip_space() { advance(rest().size() - strip(rest(), std::nullopt, Side::kLeft).size()); }
  bool accept(std::string_view word) {
    if (!rest().starts_with(word)) return false;
    advance(word.size());
    return true;
  }

  // What remains of the text before a tag with this sign.
  std::string_view text_before(std::string_view text, char sign, bool variable) const {
    if (sign == '-') return strip(text, std::nullopt, Side::kRight);
    if (sign == '+' || variable) return text;
    const size_t newline = text.rfind('\n');
    const size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
    if (begin == 0 && !line_starting_) return text;
    const bool blank = strip(text.substr(begin), std::nullopt, Side::kBoth).empty();
    return blank ? text.substr(0, begin) : text;
  }

  char take_sign() {
    const char sign = peek();
    if (sign != '-' && sign != '+') return 0;
    advance(1);
    return sign;
  }

  size_t next_tag() const {
    for (size_t at = text_.find('{', at_); at != std::string::npos; at = text_.find('{', at + 1)) {
      const char kind = at + 1 < text_.size() ? text_[at + 1] : '\0';
      if (kind == '%' || kind == '{' || kind == '#') return at;
    }
    return std::string::npos;
  }

  // Text up to the next tag, and the tag.
  void data() {
    const size_t tag = next_tag();
    if (tag == std::string::npos) {
      add(TokenKind::kData, std::string(rest()));
      at_ = text_.size();
      return;
    }
    const char kind = text_[tag + 1];
    const char mark = tag + 2 < text_.size() ? text_[tag + 2] : '\0';
    const char sign = mark == '-' || mark == '+' ? mark : '\0';
    const std::string_view before =
        text_before(std::string_view(text_).substr(at_, tag - at_), sign, kind == '{');
    if (!before.empty()) add(TokenKind::kData, std::string(before));
    advance(tag - at_ + 2);
    take_sign();
    if (kind == '#') return comment();
    if (kind == '{') {
      add(TokenKind::kVariableBegin, "");
      return inside(TokenKind::kVariableEnd);
    }
    if (raw_begins()) return raw();
    add(TokenKind::kBlockBegin, "");
    inside(TokenKind::kBlockEnd);
  }

  void comment() {
    if (at_ == text_.size()) return;  // as jinja2: what ends right here is no error
    const size_t end = text_.find("#}", at_);
    if (end == std::string::npos) syntax_error("a comment without its end");
    const char sign = end > at_ ? text_[end - 1] : '\0';
    advance(end - at_ + 2);
    after_block(sign);
  }

  // What a closing tag with this sign takes with it.
  void after_block(char sign) {
    if (sign == '-') {
      skip_space();
    } else if (sign != '+') {
      accept("\n");
    }
  }

  // Takes `word` up to its %}; a sign is left in *sign.
  bool accept_word_tag(std::string_view word, char* sign) {
    const size_t start = at_;
    const int start_line = line_;
    skip_space();
    if (accept(word)) {
      skip_space();
      *sign = take_sign();
      if (accept("%}")) return true;
    }
    at_ = start;
    line_ = start_line;
    return false;
  }

  bool raw_begins() {
    const size_t start = at_;
    const int start_line = line_;
    char sign = 0;
    if (!accept_word_tag("raw", &sign)) return false;
    if (sign == '+') {  // not a form of raw
      at_ = start;
      line_ = start_line;
      return false;
    }
    if (sign == '-') skip_space();
    return true;
  }

  void raw() {
    if (at_ == text_.size()) return;
    const size_t begin = at_;
    const bool starts_line = line_starting_;
    for (size_t tag = text_.find("{%", at_); tag != std::string::npos;
         tag = text_.find("{%", at_)) {
      advance(tag - at_ + 2);
      const size_t after_tag = at_;
      const char open_sign = take_sign();
      char close_sign = 0;
      if (accept_word_tag("endraw", &close_sign)) {
        line_starting_ = starts_line;
        const std::string_view body =
            text_before(std::string_view(text_).substr(begin, tag - begin), open_sign, false);
        if (!body.empty()) add(TokenKind::kData, std::string(body));
        line_starting_ = false;
        after_block(close_sign);
        return;
      }
      at_ = after_tag;
    }
    syntax_error("a raw block without its end");
  }

  bool ends(TokenKind end) {
    const std::string_view close = end == TokenKind::kBlockEnd ? "%}" : "}}";
    const char sign = peek();
    const bool signed_end = (sign == '-' || (sign == '+' && end == TokenKind::kBlockEnd)) &&
                            rest().substr(1).starts_with(close);
    if (!signed_end && !rest().starts_with(close)) return false;
    add(end, "");
    advance(close.size() + (signed_end ? 1 : 0));
    if (signed_end && sign == '-') {
      skip_space();
    } else if (!signed_end && end == TokenKind::kBlockEnd) {
      accept("\n");
    }
    return true;
  }

  void inside(TokenKind end) {
    std::string open;  // closing brackets still to come
    while (at_ < text_.size()) {
      if (open.empty() && ends(end)) return;
      if (is_python_space(decode_utf8(text_, at_).code)) {
        skip_space();
        continue;
      }
      if (number() || name() || quoted_text()) continue;
      bracket_or_operator(open);
    }
    syntax_error("the template ends inside a tag");
  }

  bool number() {
    if (peek() < '0' || peek() > '9') return false;
    const bool after_dot = at_ > 0 && text_[at_ - 1] == '.';
    size_t end = digits(at_, 10);
    bool floating = false;
    if (!after_dot) {
      size_t more = end;
      if (more < text_.size() && text_[more] == '.' && digits(more + 1, 10) > more + 1) {
        more = digits(more + 1, 10);
        floating = true;
      }
      if (more < text_.size() && (text_[more] | 0x20) == 'e') {
        size_t exponent = more + 1;
        if (exponent < text_.size() && (text_[exponent] == '+' || text_[exponent] == '-')) {
          ++exponent;
        }
        if (digits(exponent, 10) > exponent) {
          more = digits(exponent, 10);
          floating = true;
        }
      }
      if (floating) end = more;
    }
    if (!floating) end = integer_end(end);
    std::string text(std::string_view(text_).substr(at_, end - at_));
    std::erase(text, '_');
    add(floating ? TokenKind::kFloat : TokenKind::kInteger, std::move(text));
    advance(end - at_);
    return true;
  }

  // Behind digits that single underscores may separate.
  size_t digits(size_t at, int base) const {
    const auto good = [&](size_t place) {
      return place < text_.size() && digit_in(text_[place], base);
    };
    while (good(at)) at += text_.size() > at + 1 && text_[at + 1] == '_' && good(at + 2) ? 2 : 1;
    return at;
  }

  size_t integer_end(size_t decimal_end) const {
    if (text_[at_] != '0') return decimal_end;
    const char mark = static_cast<char>(peek(1) | 0x20);
    const int base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (base != 0) {
      const size_t begin = at_ + 2 + (peek(2) == '_' ? 1 : 0);
      if (digits(begin, base) > begin) return digits(begin, base);
    }
    return digits(at_, 1);  // nothing but zeros
  }

  bool name() {
    size_t end = at_;
    while (end < text_.size()) {
      const Utf8Step step = decode_utf8(text_, end);
      if (!is_word(step.code)) break;
      end += step.length;
    }
    if (end == at_) return false;
    std::string word = text_.substr(at_, end - at_);
    if (!is_identifier(word)) syntax_error("an invalid character in a name");
    add(TokenKind::kName, std::move(word));
    advance(end - at_);
    return true;
  }

  bool quoted_text() {
    const char quote = peek();
    if (quote != '"' && quote != '\'') return false;
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) syntax_error("a quoted text without its end");
    add(TokenKind::kText, unescaped(std::string_view(text_).substr(at_ + 1, end - at_ - 1)));
    advance(end - at_ + 1);
    return true;
  }

  std::string unescaped(std::string_view raw) const {
    std::string out;
    for (size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] != '\\' || i + 1 >= raw.size()) {
        out += raw[i];
        continue;
      }
      const char c = raw[++i];
      constexpr std::string_view kLetters = "abfnrtv\\'\"", kMeanings = "\a\b\f\n\r\t\v\\'\"";
      if (const size_t known = kLetters.find(c); known != std::string_view::npos) {
        out += kMeanings[known];
      } else if (c == '\n') {
        continue;
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const size_t wanted = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        append_code(out, raw.substr(i + 1, wanted), wanted, 16);
        i += wanted;
      } else if (c >= '0' && c <= '7') {
        size_t length = 1;
        while (length < 3 && i + length < raw.size() && digit_in(raw[i + length], 8)) ++length;
        append_code(out, raw.substr(i, length), length, 8);
        i += length - 1;
      } else if (c == 'N') {
        fail(ErrorCode::kUnsupported, "[{}:{}] the escape \\N is not supported", where_, line_);
      } else {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  void append_code(std::string& out, std::string_view digits, size_t wanted, int base) const {
    const bool good =
        digits.size() == wanted &&
        std::all_of(digits.begin(), digits.end(), [base](char c) { return digit_in(c, base); });
    if (!good) syntax_error("a truncated escape in a quoted text");
    const unsigned long code = std::stoul(std::string(digits), nullptr, base);
    if (code > 0x10ffff) syntax_error("an escape beyond Unicode in a quoted text");
    if (code >= 0xd800 && code < 0xe000) {
      fail(ErrorCode::kUnsupported, "[{}:{}] half a surrogate pair is not supported", where_,
           line_);
    }
    append_utf8(out, static_cast<char32_t>(code));
  }

  void bracket_or_operator(std::string& open) {
    const auto* found =
        std::find_if(kOperators.begin(), kOperators.end(),
                     [this](std::string_view op) { return rest().starts_with(op); });
    if (found == kOperators.end()) {
      syntax_error(fmt::format("unexpected character '{}'",
                               rest().substr(0, decode_utf8(text_, at_).length)));
    }
    const char c = (*found)[0];
    if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) syntax_error(fmt::format("unexpected '{}'", c));
      open.pop_back();
    }
    add(TokenKind::kOperator, std::string(*found));
    advance(found->size());
  }

  std::string text_;
  std::string_view where_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, std::string_view where) {
  return Lexer(source, where).run();
}

}  // namespace alambic::jinja
