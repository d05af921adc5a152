// Weights of 8 and 4 bits and the 8-bit rows that they meet: the layouts that the kernels read, and
// that files store as they are (models/quantized_model.h).
//
// Arithmetic. Along k, weights and rows come in groups of 64 (int8) or 32 (int4). Inside a group
// the products are summed as integers, exactly; then, groups ascending from zero,
//     c = c + float(sum) * (row scale * weight scale)
// with each operation rounded by itself. All tables do just this, so a result does not depend on
// the instruction set, nor on how many rows run together.
//
// Panels. 16 columns make a panel; inside it, k runs in steps of 4, and a step is 64 bytes:
// column 0's four values, column 1's, ... That is what a dot product of 4 bytes per lane takes
// (maddubs, VNNI), and 16 steps are a tile of AMX. int4 stores two steps in 64 bytes: step 2s in
// the low halves of the bytes, step 2s + 1 in the high ones. What lies beyond k or n is zero.
//
// Ownership: views only. Thread safety: plain data.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alambic::kernels {

// int8: w = scale * q, |q| <= 127. int4: w = scale * (q - zero), q and zero from 0 to 15.
enum class WeightFormat { kInt8, kInt4 };

inline constexpr int kPanelColumns = 16;
inline constexpr int group_size(WeightFormat format) {
  return format == WeightFormat::kInt8 ? 64 : 32;
}
inline constexpr int group_bytes(WeightFormat format) {  // of one group of one panel
  return format == WeightFormat::kInt8 ? 64 * kPanelColumns : 32 * kPanelColumns / 2;
}

// x = scale * value per row and group, |value| <= 127.
struct Int8Rows {
  const int8_t* values;  // [rows, groups * group size], zero beyond k
  const float* scales;   // [rows, groups]
  const int32_t* sums;   // [rows, groups], of the values
  int groups;
};

struct WeightPanels {
  const std::byte* values;  // [panels, groups, group_bytes]
  const uint16_t* scales;   // [panels, groups, 16], bf16
  const uint8_t* zeros;     // [panels, groups, 16]; int4 only, else null
};

}  // namespace alambic::kernels
