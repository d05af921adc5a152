// Ids of short pieces of text seen lately, so that common words cost one look-up.
// Ownership: a plain value. Thread safety: one object, one thread. Errors: none.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "alambic/base/token.h"

namespace alambic {

// A piece has a slot and, once another falls on that, the slot beside it; then it is forgotten.
class WordCache {
 public:
  static constexpr size_t kLongestWord = 22;
  static constexpr size_t kMostIds = 8;

  static uint64_t hash(std::string_view word);
  // The ids stored for a word of at most kLongestWord bytes; empty if there are none.
  std::span<const TokenId> find(std::string_view word, uint64_t hash) const;
  // Does nothing where the word has no or too many ids.
  void store(std::string_view word, uint64_t hash, std::span<const TokenId> ids);

  // What a miss works in; kept so that it need not be allocated again.
  std::vector<TokenId> symbols;

 private:
  struct alignas(64) Slot {  // one cache line
    uint64_t hash = 0;
    uint8_t length = 0, count = 0;
    char word[kLongestWord] = {};
    TokenId ids[kMostIds] = {};
  };
  std::vector<Slot> slots_;
};

}  // namespace alambic
