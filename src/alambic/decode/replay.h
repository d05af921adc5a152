// How a text came to be, for people to look at: each state of a generation as pieces of text that
// say what became of them. For a RefinementSink.
//
// Ownership: shares the tokenizer. One object, one generation, one thread.
#pragma once

#include <string>
#include <vector>

#include "alambic/decode/decode.h"
#include "alambic/text/tokenizer.h"

namespace alambic {

struct ReplayPiece {
  enum class Kind {
    kSettled,  // will not change any more
    kOpen,     // written, may change
    kNew,      // written by this forward
    kChanged,  // this forward replaced what stood there
    kMask
  };
  Kind kind;
  std::string text;
};
using ReplayFrame = std::vector<ReplayPiece>;

class Replay {
 public:
  explicit Replay(Tokenizer tokenizer, TokenId mask)
      : tokenizer_(std::move(tokenizer)), mask_(mask) {}

  // The state as pieces, told apart from the state of the call before.
  ReplayFrame frame(const Refinement& state);

 private:
  Tokenizer tokenizer_;
  TokenId mask_;
  std::vector<TokenId> before_;
};

}  // namespace alambic
