#include "alambic/text/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <utility>

#include "alambic/text/unicode.h"
#include "alambic/text/word_matcher.h"

namespace alambic {
namespace {

constexpr size_t kMaxExpression = 1 << 16;
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kHeapLimitKib = 64 << 10;
// No honest replacement makes a text this many times longer.
constexpr size_t kMaxGrowth = 32;

// What \w holds, as the inside of a class.
constexpr std::string_view kWordClass = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
constexpr std::string_view kHexClass = "0-9a-fA-F";

// Rewrites the escapes that mean different things to Oniguruma and to PCRE2.
std::string to_pcre2(std::string_view expression, std::string_view where) {
  std::string out;
  bool in_class = false;
  int nested = 0;  // classes open inside the class
  const auto add_class = [&](std::string_view content, bool negated) {
    if (in_class && negated) {
      fail(ErrorCode::kUnsupported,
           "[{}] regular expression with a negated escape in a class; got {}", where, expression);
    }
    if (in_class) {
      out += content;
    } else {
      out += negated ? "[^" : "[";
      out += content;
      out += ']';
    }
  };
  for (size_t i = 0; i < expression.size(); ++i) {
    const char c = expression[i];
    const std::string_view rest = expression.substr(i);
    if (c == '\\' && rest.size() > 1) {
      ++i;
      switch (rest[1]) {
        case 's':
          out += R"(\p{White_Space})";
          break;
        case 'S':
          out += R"(\P{White_Space})";
          break;
        case 'w':
          add_class(kWordClass, false);
          break;
        case 'W':
          add_class(kWordClass, true);
          break;
        case 'h':
          add_class(kHexClass, false);
          break;
        case 'H':
          add_class(kHexClass, true);
          break;
        case 'u':
          if (rest.size() < 6) {
            fail(ErrorCode::kUnsupported, "[{}] regular expression ends inside \\u; got {}", where,
                 expression);
          }
          out += "\\x{";
          out += rest.substr(2, 4);
          out += '}';
          i += 4;
          break;
        default:
          out += rest.substr(0, 2);
          break;
      }
    } else if (in_class && rest.starts_with("[:") && rest.find(":]") != rest.npos) {
      const size_t name = rest.find(":]") + 2;
      out += rest.substr(0, name);
      i += name - 1;
    } else if (in_class &&
               (rest.starts_with("[^") || rest.starts_with("[]") || rest.starts_with("&&"))) {
      fail(ErrorCode::kUnsupported,
           "[{}] regular expression with a negated class inside a class or an intersection; got {}",
           where, expression);
    } else if (in_class && c == '[') {
      ++nested;  // a union, which needs no brackets of its own
    } else if (in_class && c == ']') {
      in_class = nested > 0;
      if (in_class) {
        --nested;
      } else {
        out += c;
      }
    } else if (!in_class && c == '[') {
      in_class = true;
      out += c;
      if (rest.substr(1).starts_with('^')) out += '^', ++i;
      // A ] in first place is a member.
      if (expression.substr(i + 1).starts_with(']')) out += ']', ++i;
    } else {
      out += c;
    }
  }
  return out;
}

struct FreeCompileContext {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};

// What one thread needs to run any expression: results are read out before the next match begins.
struct MatchSpace {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 << 10, 4 << 20, nullptr);

  MatchSpace() {
    if (data == nullptr || context == nullptr || stack == nullptr) throw std::bad_alloc();
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_set_heap_limit(context, kHeapLimitKib);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~MatchSpace() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
  MatchSpace(const MatchSpace&) = delete;
  MatchSpace& operator=(const MatchSpace&) = delete;
};

// Calls function(stretch, begin) with each stretch of UTF-8: bytes that are none end a match.
template <class Function>
void for_each_stretch(std::string_view text, const Function& function) {
  for (size_t base = 0; base < text.size();) {
    const std::string_view valid = text.substr(base, valid_utf8_prefix(text.substr(base)));
    function(valid, base);
    base += valid.size();
    if (base < text.size()) base += decode_utf8(text, base).length;
  }
}

}  // namespace

class Pattern::Matcher {
 public:
  virtual ~Matcher() = default;
  virtual void for_each_match(std::string_view text, const Sink& sink) const = 0;
};

class Pattern::Literal : public Matcher {
 public:
  explicit Literal(std::string text) : text_(std::move(text)) {}
  void for_each_match(std::string_view text, const Sink& sink) const override {
    for (size_t at = text.find(text_); at != text.npos; at = text.find(text_, at + text_.size())) {
      sink(at, at + text_.size());
    }
  }

 private:
  std::string text_;
};

class Pattern::Characters : public Matcher {
 public:
  explicit Characters(bool (*contains)(char32_t)) : contains_(contains) {
    for (char32_t code = 0; code < ascii_.size(); ++code) ascii_[code] = contains(code);
  }
  void for_each_match(std::string_view text, const Sink& sink) const override {
    for (size_t at = 0; at < text.size();) {
      if (const auto byte = static_cast<uint8_t>(text[at]); byte < ascii_.size()) {
        if (ascii_[byte]) sink(at, at + 1);
        ++at;
        continue;
      }
      const Utf8Step step = decode_utf8(text, at);
      if (step.valid && contains_(step.code)) sink(at, at + step.length);
      at += step.length;
    }
  }

 private:
  bool (*contains_)(char32_t);
  std::array<bool, 128> ascii_{};
};

// An expression that matches at every character of UTF-8.
class Pattern::Words : public Matcher {
 public:
  explicit Words(WordEnd word_end) : word_end_(word_end) {}
  void for_each_match(std::string_view text, const Sink& sink) const override {
    for_each_stretch(text, [&](std::string_view valid, size_t base) {
      for (size_t at = 0; at < valid.size();) {
        const size_t end = word_end_(valid, at);
        sink(base + at, base + end);
        at = end;
      }
    });
  }

 private:
  WordEnd word_end_;
};

// An expression that matches here and there.
class Pattern::Search : public Matcher {
 public:
  explicit Search(WordSearch search) : search_(search) {}
  void for_each_match(std::string_view text, const Sink& sink) const override {
    for_each_stretch(text, [&](std::string_view valid, size_t base) {
      for (WordSpan span = search_(valid, 0); span.begin < span.end;
           span = search_(valid, span.end)) {
        sink(base + span.begin, base + span.end);
      }
    });
  }

 private:
  WordSearch search_;
};

class Pattern::Regex : public Matcher {
 public:
  Regex(std::string_view expression, std::string_view where) : expression_(expression) {
    if (expression.size() > kMaxExpression) {
      fail(ErrorCode::kUnsupported,
           "[{}] regular expression too long; got {} bytes, want at most {}", where,
           expression.size(), kMaxExpression);
    }
    const std::string pattern = to_pcre2(expression, where);
    const std::unique_ptr<pcre2_compile_context, FreeCompileContext> context(
        pcre2_compile_context_create(nullptr));
    if (context == nullptr) throw std::bad_alloc();
    pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
    int error = 0;
    PCRE2_SIZE offset = 0;
    // In tokenizer files ^ and $ match at every line.
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                              &error, &offset, context.get()));
    if (code_ == nullptr) {
      PCRE2_UCHAR text[160] = {};
      pcre2_get_error_message(error, text, sizeof text);
      fail(ErrorCode::kUnsupported, "[{}] regular expression {}: {}", where, expression,
           reinterpret_cast<const char*>(text));
    }
    jit_ = pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE) == 0;
  }

  void for_each_match(std::string_view text, const Sink& sink) const override {
    for (size_t at = 0; at < text.size();) {
      const size_t good = valid_utf8_prefix(text.substr(at));
      if (good > 0) match_valid(text.substr(at, good), at, sink);
      at += good;
      if (at < text.size()) at += decode_utf8(text, at).length;
    }
  }

 private:
  void match_valid(std::string_view text, size_t base, const Sink& sink) const {
    thread_local MatchSpace space;
    size_t at = 0;
    bool matched = false;
    size_t last_end = 0;
    while (at <= text.size()) {
      const int found = run(text, at, space);
      if (found == PCRE2_ERROR_NOMATCH) return;
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(space.data);
      // \K inside a look-ahead can report a match that ends before it starts.
      const size_t begin = std::min(range[0], range[1]), end = range[1];
      if (begin == end && matched && last_end == end) {
        at += at < text.size() ? decode_utf8(text, at).length : 1;
        continue;
      }
      if (begin < last_end) {
        fail(ErrorCode::kUnsupported, "[regular expression {}] matches run over each other",
             expression_);
      }
      matched = true;
      at = last_end = end;
      sink(base + begin, base + end);
    }
  }

  int run(std::string_view text, size_t at, const MatchSpace& space) const {
    const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    int found = jit_ ? pcre2_jit_match(code_.get(), subject, text.size(), at, PCRE2_NO_UTF_CHECK,
                                       space.data, space.context)
                     : PCRE2_ERROR_JIT_STACKLIMIT;
    // The interpreter keeps its backtracking on the heap.
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      found = pcre2_match(code_.get(), subject, text.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                          space.data, space.context);
    }
    if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
      fail(ErrorCode::kResourceExhausted,
           "[regular expression {}] gave up after {} steps on {} bytes of text", expression_,
           kMatchLimit, text.size());
    }
    return found;
  }

  std::string expression_;
  std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> code_{nullptr, pcre2_code_free};
  bool jit_ = false;
};

Pattern Pattern::literal(std::string text) {
  return Pattern(std::make_shared<Literal>(std::move(text)));
}

Pattern Pattern::regex(std::string_view expression, std::string_view where) {
  if (const WordEnd word_end = find_word_matcher(expression)) {
    return Pattern(std::make_shared<Words>(word_end));
  }
  if (const WordSearch search = find_word_search(expression)) {
    return Pattern(std::make_shared<Search>(search));
  }
  return Pattern(std::make_shared<Regex>(expression, where));
}

Pattern Pattern::characters(bool (*contains)(char32_t)) {
  return Pattern(std::make_shared<Characters>(contains));
}

Pattern Pattern::from_json(const Json& value, std::string_view where) {
  if (value.is_object() && value.contains("Regex")) {
    return regex(require<std::string>(value, "Regex", where), where);
  }
  std::string text = require<std::string>(value, "String", where);
  if (text.empty()) fail(ErrorCode::kUnsupported, "[{}] empty pattern", where);
  return literal(std::move(text));
}

void Pattern::for_each_match(std::string_view text, const Sink& sink) const {
  matcher_->for_each_match(text, sink);
}

std::string Pattern::replace(std::string_view text, std::string_view content) const {
  const size_t limit = kMaxGrowth * (text.size() + 256);
  std::string out;
  out.reserve(text.size());
  size_t copied = 0;
  for_each_match(text, [&](size_t begin, size_t end) {
    if (out.size() > limit) {
      fail(ErrorCode::kResourceExhausted,
           "[replace] {} bytes of text grow without measure; got {}, want at most {}", text.size(),
           out.size(), limit);
    }
    out.append(text.substr(copied, begin - copied));
    out.append(content);
    copied = end;
  });
  out.append(text.substr(copied));
  return out;
}

}  // namespace alambic
