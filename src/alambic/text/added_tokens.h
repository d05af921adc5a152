// Tokens that are found in the text before the model sees it: the "added_tokens" of a tokenizer
// file. Ownership: plain values; the finder owns its patterns. Thread safety: immutable after
// construction.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/token.h"

namespace alambic {

struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space on its left
  bool rstrip = false;       // and on its right
  bool normalized = true;    // looked for in the normalized text
  bool special = false;      // a control token, not text
};

// Cuts a text around the leftmost longest occurrences of some added tokens.
class AddedTokenFinder {
 public:
  // Receives a stretch of text and the added token it is, null for text between tokens.
  using Sink = std::function<void(std::string_view text, const AddedToken* token)>;

  // `pattern` is what to look for, usually the content.
  void add(AddedToken token, std::string pattern);
  bool empty() const { return entries_.empty(); }
  bool finds_special() const { return finds_special_; }
  // Where `special` is false, occurrences of special tokens are left as text; else those that hold
  // one of the bytes `plain`, which ascend.
  void split(std::string_view text, bool special, std::span<const size_t> plain,
             const Sink& sink) const;

 private:
  struct Entry {
    AddedToken token;
    std::string pattern;
  };
  // The longest pattern that `text` starts with, or null.
  const Entry* match(std::string_view text) const;
  // The first position from `at` on where a pattern may begin.
  size_t next_candidate(std::string_view text, size_t at) const;

  std::vector<Entry> entries_;
  std::array<std::vector<uint32_t>, 256> by_first_byte_;  // longest pattern first
  std::array<bool, 256> begins_{};                        // which of them are not empty
  std::string first_bytes_;
  bool finds_special_ = false;
};

}  // namespace alambic
