// AdamW (Loshchilov & Hutter 2019) over every trainable parameter of a model, with global-norm
// clipping. Adam's steps have one size whatever a weight's, so a table whose rows are large and
// seldom seen hardly moves at the rate that suits the matrices: its rate grows with the root mean
// square that it starts with, from 1 where that is kTableRms (docs/adr/0007-initial-weights.md).
// The moments are fp32. Results do not depend on the thread count: the norm is summed over fixed
// chunks in order.
#pragma once

#include <vector>

#include "alambic/models/language_model.h"

namespace alambic {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.99, eps = 1e-8, weight_decay = 0.1;
  double clip = 1.0;  // of the global gradient norm; 0: none
};

class AdamWOptimizer {
 public:
  static constexpr double kTableRms = 0.056;

  AdamWOptimizer(LanguageModel& model, const AdamWOptions& options);

  // One step from the accumulated gradients divided by `count`, which are then dropped. Returns the
  // gradient norm before clipping; if it is not finite nothing is changed.
  double step(double lr, double count);
  int64_t steps_taken() const { return steps_; }

  // Moments by parameter, for checkpoints.
  struct Slot {
    Parameter* parameter;
    double rate;  // times the learning rate
    Tensor m, v;
  };
  std::vector<Slot>& slots() { return slots_; }
  void set_steps_taken(int64_t steps) { steps_ = steps; }

 private:
  AdamWOptions options_;
  std::vector<Slot> slots_;
  int64_t steps_ = 0;
};

}  // namespace alambic
