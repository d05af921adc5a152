// What a forward of so many rows costs here and now, as measured while decoding: T(rows) of this
// machine, this model and this precision. A speculative decoder weighs drafts by it.
//
// Between measured row counts it interpolates, beyond them it is hopeful, so that a width that
// nobody has tried gets tried and then measured; more rows never cost less. One slow step, when the
// machine was busy elsewhere, moves it little; what was not measured for long gives way sooner.
// Thread safety: one object, one thread.
#pragma once

#include <cstdint>
#include <map>

namespace alambic {

class RowCost {
 public:
  void observe(int64_t rows, double seconds);
  // Of a forward that also read prompts: about what so many rows cost, until one is observed.
  void suppose(int64_t rows, double seconds);
  bool knows(int64_t rows) const;
  // 0 before anything was observed.
  double seconds(int64_t rows) const;

 private:
  struct Mean {
    double seconds = 0;
    int samples = 0;   // 0: supposed
    int64_t time = 0;  // of the last one
  };
  std::map<int64_t, Mean> measured_;
  int64_t time_ = 0;  // observations, of whatever width
};

}  // namespace alambic
