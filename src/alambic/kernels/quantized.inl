// Quantised products in plain loops, which every region compiles for itself and the compiler turns
// into whatever the region has. They are also what the hand-written forms are compared with.

// The magnitude's bits order like the magnitude, with infinity and NaN above all numbers.
inline uint32_t magnitude_bits(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits & 0x7fffffffu;
}

// Symmetric, to nearest even. A group that holds infinity or NaN gets the scale NaN, so that the
// trouble stays visible in the product.
void quantize_rows(const float* x, int64_t ld, int rows, int k, int group, int8_t* values,
                   float* scales, int32_t* sums) noexcept {
  constexpr float kLargest = 127.0f, kSmallest = 1e-30f;
  constexpr uint32_t kInfinity = 0x7f800000u;
  // Adding and taking away 1.5 * 2^23 leaves a small number's nearest integer in the low bits.
  constexpr float kRounder = 12582912.0f;
  const int groups = (k + group - 1) / group;
  for (int r = 0; r < rows; ++r) {
    for (int g = 0; g < groups; ++g) {
      const float* in = x + r * ld + int64_t{g} * group;
      int8_t* out = values + (int64_t{r} * groups + g) * group;
      const int count = k - g * group < group ? k - g * group : group;
      uint32_t most = 0;
      for (int i = 0; i < count; ++i) {
        const uint32_t bits = magnitude_bits(in[i]);
        most = bits > most ? bits : most;
      }
      float largest;
      __builtin_memcpy(&largest, &most, sizeof largest);
      const bool usable = most < kInfinity && largest > kSmallest;
      const float inverse = usable ? kLargest / largest : 0.0f;
      int32_t sum = 0;
      if (usable) {
        for (int i = 0; i < count; ++i) {
          const float shifted = in[i] * inverse + kRounder;
          int32_t bits;
          __builtin_memcpy(&bits, &shifted, sizeof bits);
          const int32_t q = bits - 0x4b400000;
          out[i] = static_cast<int8_t>(q);
          sum += q;
        }
      }
      for (int i = usable ? count : 0; i < group; ++i) out[i] = 0;
      // `largest` - `largest` is NaN for infinity and NaN.
      scales[int64_t{r} * groups + g] =
          most < kInfinity ? (usable ? largest / kLargest : 0.0f) : largest - largest;
      sums[int64_t{r} * groups + g] = sum;
    }
  }
}

inline float scale_of(uint16_t bf16) {
  const uint32_t bits = static_cast<uint32_t>(bf16) << 16;
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

// sum[column] over one group of one row.
template <WeightFormat kFormat>
inline void group_sums(const int8_t* row, const std::byte* panel, int32_t (&sum)[kPanelColumns]) {
  for (int32_t& s : sum) s = 0;
  if constexpr (kFormat == WeightFormat::kInt8) {
    const auto* w = reinterpret_cast<const int8_t*>(panel);
    for (int p = 0; p < group_size(kFormat); p += 4, w += 4 * kPanelColumns) {
      for (int c = 0; c < kPanelColumns; ++c) {
        for (int j = 0; j < 4; ++j) sum[c] += row[p + j] * w[4 * c + j];
      }
    }
  } else {
    const auto* w = reinterpret_cast<const uint8_t*>(panel);
    for (int p = 0; p < group_size(kFormat); p += 8, w += 4 * kPanelColumns) {
      for (int c = 0; c < kPanelColumns; ++c) {
        for (int j = 0; j < 4; ++j) {
          sum[c] += row[p + j] * (w[4 * c + j] & 15) + row[p + 4 + j] * (w[4 * c + j] >> 4);
        }
      }
    }
  }
}

template <WeightFormat kFormat>
void multiply_quantized(const Int8Rows& a, const WeightPanels& w, int m, int n, float* c,
                        int64_t ldc) noexcept {
  for (int64_t first = 0; first < n; first += kPanelColumns) {
    const int64_t panel = first / kPanelColumns * a.groups;
    const int columns = n - first < kPanelColumns ? static_cast<int>(n - first) : kPanelColumns;
    for (int64_t r = 0; r < m; ++r) {
      float total[kPanelColumns] = {};
      for (int g = 0; g < a.groups; ++g) {
        const int64_t own = r * a.groups + g, theirs = panel + g;
        int32_t sum[kPanelColumns];
        group_sums<kFormat>(a.values + own * group_size(kFormat),
                            w.values + theirs * group_bytes(kFormat), sum);
        for (int i = 0; i < kPanelColumns; ++i) {
          if constexpr (kFormat == WeightFormat::kInt4) {
            sum[i] -= w.zeros[theirs * kPanelColumns + i] * a.sums[own];
          }
          const float scale = a.scales[own] * scale_of(w.scales[theirs * kPanelColumns + i]);
          total[i] = total[i] + static_cast<float>(sum[i]) * scale;
        }
      }
      for (int i = 0; i < columns; ++i) c[r * ldc + first + i] = total[i];
    }
  }
}
