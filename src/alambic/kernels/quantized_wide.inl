// Quantised products on 16 lanes, a panel wide, written on a policy `Dot` (the VNNI instruction, or
// its emulation in the tests). Included after vec.inl with 16 lanes.
//
// The instruction multiplies unsigned bytes by signed ones, so it is the weights that become
// unsigned: int4 is already; an int8 weight's upper bit is flipped, which adds 128, and 128 times
// the sum of the row's values comes off again.

using LooseVU = uint32_t __attribute__((vector_size(4 * kWidth), aligned(1), may_alias));
using Quarter = uint8_t __attribute__((vector_size(kWidth), aligned(1), may_alias));

static_assert(kWidth == kPanelColumns);

// One panel against R rows. Few rows have several chains of sums each, or they would wait for one.
template <class Dot, WeightFormat kFormat, int R>
inline void quantized_wide_tile(const Int8Rows& a, int64_t row, const WeightPanels& w,
                                int64_t panel, int columns, float* c, int64_t ldc) {
  constexpr bool kInt8 = kFormat == WeightFormat::kInt8;
  constexpr int kGroup = group_size(kFormat), kSteps = kGroup / (kInt8 ? 4 : 8);
  constexpr int kChains = R <= 2 ? 4 : R <= 4 ? 2 : 1;
  const int64_t ld = int64_t{a.groups} * kGroup;
  V total[R] = {};
  for (int g = 0; g < a.groups; ++g) {
    const int64_t theirs = panel + g;
    const int8_t* rows = a.values + row * ld + int64_t{g} * kGroup;
    const std::byte* values = w.values + theirs * group_bytes(kFormat);
    VS sum[kChains][R] = {};
#pragma GCC unroll 16
    for (int s = 0; s < kSteps; ++s) {
      const VU both = *reinterpret_cast<const LooseVU*>(values + 64 * s);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        int32_t words[2];
        __builtin_memcpy(words, rows + r * ld + (kInt8 ? 4 : 8) * s, kInt8 ? 4 : 8);
        VS& chain = sum[s % kChains][r];
        if constexpr (kInt8) {
          chain = Dot::add(chain, both ^ 0x80808080u, VS{} + words[0]);
        } else {
          chain = Dot::add(chain, both & 0x0f0f0f0fu, VS{} + words[0]);
          chain = Dot::add(chain, (both >> 4) & 0x0f0f0f0fu, VS{} + words[1]);
        }
      }
    }
    const LooseH halves = *reinterpret_cast<const LooseH*>(w.scales + theirs * kPanelColumns);
    const V scale = reinterpret_cast<V>(__builtin_convertvector(halves, VU) << 16);
    VS zero = VS{} + 128;
    if constexpr (!kInt8) {
      const Quarter bytes = *reinterpret_cast<const Quarter*>(w.zeros + theirs * kPanelColumns);
      zero = __builtin_convertvector(bytes, VS);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const int64_t own = (row + r) * a.groups + g;
      VS whole = sum[0][r];
      for (int i = 1; i < kChains; ++i) whole += sum[i][r];
      whole -= zero * a.sums[own];
      const V factor = splat(a.scales[own]) * scale;
      total[r] = total[r] + __builtin_convertvector(whole, V) * factor;
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    if (columns == kPanelColumns) {
      store(c + r * ldc, total[r]);
    } else {
      store(c + r * ldc, total[r], Tail(columns));
    }
  }
}

template <class Dot, WeightFormat kFormat>
void multiply_quantized_wide(const Int8Rows& a, const WeightPanels& w, int m, int n, float* c,
                             int64_t ldc) noexcept {
  for (int64_t first = 0; first < n; first += kPanelColumns) {
    const int64_t panel = first / kPanelColumns * a.groups;
    const int columns = n - first < kPanelColumns ? static_cast<int>(n - first) : kPanelColumns;
    int64_t r = 0;
    const auto take = [&](auto rows) {
      constexpr int kRows = decltype(rows)::value;
      for (; m - r >= kRows; r += kRows) {
        quantized_wide_tile<Dot, kFormat, kRows>(a, r, w, panel, columns, c + r * ldc + first, ldc);
      }
    };
    take(std::integral_constant<int, 8>{});
    take(std::integral_constant<int, 4>{});
    take(std::integral_constant<int, 1>{});
  }
}

template <class Dot>
void use_wide_quantized(KernelTable& table) {
  table.multiply_quantized[0] = multiply_quantized_wide<Dot, WeightFormat::kInt8>;
  table.multiply_quantized[1] = multiply_quantized_wide<Dot, WeightFormat::kInt4>;
}
