// How to run a model, as opposed to what to run: which rows see which, caches, precision, dropout.
#pragma once

#include <cstdint>
#include <vector>

#include "alambic/kernels/table.h"
#include "alambic/nn/kv_cache.h"

namespace alambic {

using kernels::Precision;

// The first `rows` rows of an earlier group of the same forward.
struct Sight {
  int group;
  int rows;
};

// Consecutive rows of one forward that may see the same things.
struct RowGroup {
  int rows;
  int position;        // of the first row
  bool causal = true;  // inside the group: causal, or all-to-all
  std::vector<Sight> sees = {};
  KvCache* cache = nullptr;  // plus what this cache holds; a causal group's rows are staged into it
};

struct Forward {
  std::vector<RowGroup> groups;
  Precision precision = Precision::kFp32;
  double dropout = 0;
  uint64_t dropout_seed = 0;
};

}  // namespace alambic
