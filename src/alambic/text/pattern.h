// What a tokenizer file may search for: a literal, a regular expression or a class of characters.
// Expressions of published tokenizers are matched by hand-written code (word_matcher.h). Others
// come in the Oniguruma dialect of tokenizer files and run on PCRE2 with the
// same meaning of \s, \w, \h, ^ and $; negated classes in classes and intersections are refused.
// Bytes that are not UTF-8 never match and end whatever match would run over them. Ownership: an
// immutable handle, cheap to copy. Thread safety: usable from several threads at once. Errors:
// kUnsupported for an expression PCRE2 cannot take; kResourceExhausted when matching one explodes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "alambic/base/json.h"

namespace alambic {

class Pattern {
 public:
  // Receives [begin, end) in bytes.
  using Sink = std::function<void(size_t begin, size_t end)>;

  static Pattern literal(std::string text);
  static Pattern regex(std::string_view expression, std::string_view where);
  static Pattern characters(bool (*contains)(char32_t));
  // {"String": ...} or {"Regex": ...}.
  static Pattern from_json(const Json& value, std::string_view where);

  // Every match from left to right, none overlapping; an empty match never follows another match
  // directly.
  void for_each_match(std::string_view text, const Sink& sink) const;
  // Every match replaced by `content` as it stands.
  std::string replace(std::string_view text, std::string_view content) const;

 private:
  class Matcher;
  class Literal;
  class Words;
  class Search;
  class Regex;
  class Characters;

  explicit Pattern(std::shared_ptr<const Matcher> matcher) : matcher_(std::move(matcher)) {}
  std::shared_ptr<const Matcher> matcher_;
};

}  // namespace alambic
