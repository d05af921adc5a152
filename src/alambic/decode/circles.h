// Whether a text runs in circles: its end is one sequence of at most 64 tokens over and over again.
// Small models that have lost the thread write so until a limit stops them.
//
// So many repetitions that no text means them:
//   1 or 2 tokens ("the the the the")          96 tokens of them
//   more, of at most 3 different ones          256 tokens: "0 0 0 0\n" is a row of a table
//   any other sequence                         10 times, and at least 128 tokens
// A rule on the written tokens alone, so that every way of decoding stops at the same token.
//
// Thread safety: one text, one thread. Errors: none. Takes no memory but its own.
#pragma once

#include <array>
#include <span>

#include "alambic/base/token.h"

namespace alambic {

class Circles {
 public:
  // `tokens`: the text so far, one token longer than at the last call.
  bool closed_by(std::span<const TokenId> tokens);

 private:
  static constexpr size_t kLongestPeriod = 64;
  // How many tokens at the end equal those `period` before them; at index period - 1.
  std::array<int, kLongestPeriod> matches_{};
};

}  // namespace alambic
