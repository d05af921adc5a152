// Keeps what people write from being taken for special tokens: a message that spells out
// "<|im_end|>" must not end its turn, nor forge another's role, when a template puts it between
// special tokens of its own.
//
// A special token that data spells out (in capitals or small letters, or begins at its end) begins
// with one character of the data; no special token is found on that character. While a template is
// at work, a stand-in holds its place: one private character that the data does not hold, so that
// lengths, capitals and white space are what they were. restore() puts the data's own character
// back and says where it is.
//
// Ownership: values; a GuardedData keeps nothing of its guard. Thread safety: const.
#pragma once

#include <array>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/text/tokenizer.h"

namespace alambic {

class SpecialGuard {
 public:
  explicit SpecialGuard(const Tokenizer& tokenizer);

  // The bytes of `text` at which special tokens spelled out in it are to be broken, ascending: one
  // of each, and one of what could become one if text followed.
  std::vector<size_t> breaks(std::string_view text) const;

 private:
  struct Special {
    std::string small;  // the content, in small letters
    size_t at;          // of the character that stands for it: the first that is no white space
  };
  std::vector<Special> specials_;
  std::array<std::vector<uint32_t>, 256> by_first_byte_;
};

// The data of one text to be rendered.
class GuardedData {
 public:
  // Puts stand-ins into all strings of `data`, keys included, in place. kUnsupported where the data
  // holds so many private characters that none is left.
  GuardedData(const SpecialGuard& guard, std::span<OrderedJson* const> data);

  // The text as it would have been without stand-ins; `cuts`, bytes of it that ascend, move along.
  // `plain`: the bytes that no special token may touch (EncodeOptions).
  void restore(std::string& text, std::span<size_t> cuts, std::vector<size_t>& plain) const;

 private:
  std::map<char32_t, std::string> characters_;  // of stand-ins
};

}  // namespace alambic
