// `generate --watch`: a text being written, drawn over itself in a terminal: masks, what a forward
// added, what it corrected. Elsewhere a line for each state. One object, one text, one thread.
#pragma once

#include "alambic/decode/replay.h"

namespace alambic {

class Watch {
 public:
  Watch(const Tokenizer& tokenizer, TokenId mask);
  // Kept by this object, which must outlive its use.
  const RefinementSink& sink() const { return sink_; }
  // The text stays; what comes next stands below it.
  void finish();

 private:
  void draw(const Refinement& state);

  Replay replay_;
  RefinementSink sink_;
  bool terminal_;
  int lines_ = 0;  // that the drawing takes
};

}  // namespace alambic
