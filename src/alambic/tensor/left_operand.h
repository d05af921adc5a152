// The left operand of a product: rows as they are, or normed on their way in, so that the normed
// rows are never stored.
//
// Ownership: views only; what they look at outlives the product. Thread safety: plain data.
#pragma once

#include <cstdint>
#include <vector>

#include "alambic/kernels/table.h"

namespace alambic {

using kernels::Matrix;

struct LeftOperand {
  Matrix rows;
  // RMS norm (Zhang & Sennrich 2019) with this weight [k] and eps, if not null, or with a bias [k]
  // layer norm (Ba et al. 2016); the rows are then fp32 and contiguous.
  const float* norm = nullptr;
  float eps = 0;
  const float* norm_bias = nullptr;

  const float* row(int64_t r) const {
    return static_cast<const float*>(rows.data) + r * rows.row_stride;
  }
  // Rows [first, first + count), normed: [count, k], in this thread's buffer until its next call.
  const float* normed(int64_t first, int count, int k) const {
    thread_local std::vector<float> buffer;
    const auto size = static_cast<size_t>(count) * static_cast<size_t>(k);
    if (buffer.size() < size) buffer.resize(size);
    for (int r = 0; r < count; ++r) {
      float* out = buffer.data() + int64_t{r} * k;
      if (norm_bias != nullptr) {
        kernels::kernels().layer_norm(row(first + r), norm, norm_bias, 1, k, eps, out, nullptr,
                                      nullptr);
      } else {
        kernels::kernels().rms_norm(row(first + r), norm, 1, k, eps, out, nullptr);
      }
    }
    return buffer.data();
  }
};

}  // namespace alambic
