// Drafts without a drafter: where the last tokens of a text stand earlier in it, what followed
// there is likely to follow here (prompt lookup decoding, Saxena 2023; n-gram speculation). Free,
// and at its best where an answer repeats its prompt.
//
// Memory: a few words per token. Thread safety: one object, one thread.
#pragma once

#include <array>
#include <span>
#include <unordered_map>
#include <vector>

#include "alambic/base/token.h"

namespace alambic {

class PromptLookup {
 public:
  static constexpr int kLongest = 4;  // tokens of a match that are compared

  void append(TokenId token);
  void append(std::span<const TokenId> tokens);

  struct Match {
    std::span<const TokenId>
        tokens;      // what followed, at most as many as asked for; into this object
    int length = 0;  // tokens that were found again; 0: none
  };
  // Behind the latest earlier place of the longest run of last tokens.
  Match find(size_t count) const;

 private:
  uint64_t key(size_t end, int length) const;

  std::vector<TokenId> tokens_;
  // For each length: where what followed a run of tokens begins, the latest place.
  std::array<std::unordered_map<uint64_t, size_t>, kLongest> places_;
};

}  // namespace alambic
