// The tables that this room's tests loop over: every one this CPU runs, and the 16-lane code of the
// wider ISAs instantiated portably, so that its logic runs on any machine. Tests only.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "alambic/base/rng.h"
#include "alambic/kernels/table.h"

namespace alambic::kernels {

struct NamedTable {
  std::string name;
  KernelTable table;
};

const std::vector<NamedTable>& tables_under_test();

// Uniform in [-1, 1), reproducible.
inline std::vector<float> random_floats(size_t n, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(n);
  for (float& value : values) value = static_cast<float>(2.0 * rng.uniform() - 1.0);
  return values;
}

// Round to nearest even on the integer pattern, written apart from the kernels; no NaN.
inline uint16_t bf16_of(float x) {
  uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  const uint32_t lower = u & 0xffffu;
  uint32_t upper = u >> 16;
  if (lower > 0x8000u || (lower == 0x8000u && (upper & 1u) != 0)) ++upper;
  return static_cast<uint16_t>(upper);
}

inline float float_of(uint16_t h) {
  const uint32_t u = static_cast<uint32_t>(h) << 16;
  float x;
  std::memcpy(&x, &u, sizeof x);
  return x;
}

}  // namespace alambic::kernels
