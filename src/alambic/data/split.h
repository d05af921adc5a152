// Cuts data into train, validation and test parts, and drops exact duplicates.
// Thread safety: pure functions. The part of an example depends on its prompt and the seed alone:
// it does not change when other rows come or go, and equal prompts (up to ASCII case and white
// space) never stand on both sides of a cut.
#pragma once

#include <cstdint>
#include <vector>

#include "alambic/data/example.h"
#include "alambic/data/left_out.h"

namespace alambic {

struct SplitOptions {
  double validation = 0.1;  // expected shares; the rest is for training
  double test = 0.1;
  uint64_t seed = 0;
};

struct Splits {
  std::vector<Example> train, validation, test;  // each in the order of the input
};

// kInvalidArgument where the shares are negative or leave nothing to train on. An example without a
// prompt is placed by its completion.
Splits split_by_prompt(std::vector<Example> examples, const SplitOptions& options);

// Keeps the first of examples that are equal in prompt and completion; the others go to `left_out`.
std::vector<Example> remove_duplicates(std::vector<Example> examples,
                                       std::vector<LeftOut>& left_out);

}  // namespace alambic
