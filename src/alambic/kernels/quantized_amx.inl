// Quantised products on tiles, for 16 rows at a time; fewer go the way of quantized_wide.inl, to
// the same bits. Included after it and amx.inl.
//
// A step of 64 k of a panel is a tile of B as it lies, and 16 rows of values are a tile of A. A
// group ends with its sums going through memory to the vector unit, which scales them; that takes
// longer than the tile product, and the next group's product runs meanwhile.

constexpr int kQuantizedBlock = 16;

// One group of a panel as a tile of B: what to point the tile load at. int4 fills half of a tile;
// the other half is zero, so that it does not matter which values of A meet it.
struct QuantizedTile {
  alignas(64) uint32_t words[16][16] = {};
  // Halves of the tile that hold the group; the other half must be zero.
  void unpack(const std::byte* values, bool upper) {
    for (int s = 0; s < 4; ++s) {
      const VU both = *reinterpret_cast<const LooseVU*>(values + 64 * s);
      const VU low = both & 0x0f0f0f0fu, high = (both >> 4) & 0x0f0f0f0fu;
      __builtin_memcpy(words[8 * upper + 2 * s], &low, sizeof low);
      __builtin_memcpy(words[8 * upper + 2 * s + 1], &high, sizeof high);
    }
  }
};

// total[16][16] += the scaled sums of one group of rows [row, row + 16).
template <WeightFormat kFormat>
inline void add_scaled_group(const Int8Rows& a, int64_t row, int g, const WeightPanels& w,
                             int64_t theirs, const int32_t* sums, float* total) {
  const LooseH halves = *reinterpret_cast<const LooseH*>(w.scales + theirs * kPanelColumns);
  const V scale = reinterpret_cast<V>(__builtin_convertvector(halves, VU) << 16);
  VS zero{};
  if constexpr (kFormat == WeightFormat::kInt4) {
    const Quarter bytes = *reinterpret_cast<const Quarter*>(w.zeros + theirs * kPanelColumns);
    zero = __builtin_convertvector(bytes, VS);
  }
#pragma GCC unroll 4
  for (int r = 0; r < kQuantizedBlock; ++r) {
    const int64_t own = (row + r) * a.groups + g;
    VS whole;
    __builtin_memcpy(&whole, sums + kPanelColumns * r, sizeof whole);
    if constexpr (kFormat == WeightFormat::kInt4) whole -= zero * a.sums[own];
    const V factor = splat(a.scales[own]) * scale;
    float* at = total + kPanelColumns * r;
    store(at, load(at) + __builtin_convertvector(whole, V) * factor);
  }
}

template <class Tiles, WeightFormat kFormat>
inline void quantized_block(const Int8Rows& a, int64_t row, const WeightPanels& w, int64_t panel,
                            int columns, float* c, int64_t ldc) {
  constexpr int kGroup = group_size(kFormat);
  const int64_t ld = int64_t{a.groups} * kGroup;
  alignas(64) float total[kQuantizedBlock * kPanelColumns] = {};
  alignas(64) int32_t sums[2][kQuantizedBlock * kPanelColumns];
  // Two tiles of B per half in use, so that unpacking does not wait for the load before.
  QuantizedTile lower[2], upper;
  for (int g = 0; g < a.groups; ++g) {
    const std::byte* values = w.values + (panel + g) * group_bytes(kFormat);
    const int8_t* rows = a.values + row * ld + int64_t{g} * kGroup;
    Tiles::template zero<0>();
    if constexpr (kFormat == WeightFormat::kInt8) {
      Tiles::template load<4>(rows, ld);
      Tiles::template load<6>(values, 64);
    } else if (g + 1 < a.groups) {
      lower[g % 2].unpack(values, false);
      Tiles::template load<4>(rows, ld);
      Tiles::template load<6>(lower[g % 2].words, 64);
    } else {  // the last group: 64 values from here would end beyond the row
      upper.unpack(values, true);
      Tiles::template load<4>(rows - kGroup, ld);
      Tiles::template load<6>(upper.words, 64);
    }
    Tiles::template dot_int8<0, 4, 6>();
    Tiles::template store<0>(sums[g % 2], 64);
    if (g > 0) add_scaled_group<kFormat>(a, row, g - 1, w, panel + g - 1, sums[(g - 1) % 2], total);
  }
  const int last = a.groups - 1;
  add_scaled_group<kFormat>(a, row, last, w, panel + last, sums[last % 2], total);
  for (int r = 0; r < kQuantizedBlock; ++r) {
    const V out = load(total + kPanelColumns * r);
    if (columns == kPanelColumns) {
      store(c + r * ldc, out);
    } else {
      store(c + r * ldc, out, Tail(columns));
    }
  }
}

template <class Tiles, class Dot, WeightFormat kFormat>
void multiply_quantized_amx(const Int8Rows& a, const WeightPanels& w, int m, int n, float* c,
                            int64_t ldc) noexcept {
  // An int4 tile of A spans two groups.
  const bool tiles = a.groups >= (kFormat == WeightFormat::kInt4 ? 2 : 1);
  const int64_t whole = tiles ? m / kQuantizedBlock * kQuantizedBlock : 0;
  if (whole > 0) {
    Tiles::configure();
    for (int64_t first = 0; first < n; first += kPanelColumns) {
      const int64_t panel = first / kPanelColumns * a.groups;
      const int columns = n - first < kPanelColumns ? static_cast<int>(n - first) : kPanelColumns;
      for (int64_t r = 0; r < whole; r += kQuantizedBlock) {
        quantized_block<Tiles, kFormat>(a, r, w, panel, columns, c + r * ldc + first, ldc);
      }
    }
    Tiles::release();
  }
  if (whole < m) {
    const int64_t skip = whole * a.groups;
    multiply_quantized_wide<Dot, kFormat>(
        {a.values + skip * group_size(kFormat), a.scales + skip, a.sums + skip, a.groups}, w,
        static_cast<int>(m - whole), n, c + whole * ldc, ldc);
  }
}

template <class Tiles, class Dot>
void use_amx_quantized(KernelTable& table) {
  table.multiply_quantized[0] = multiply_quantized_amx<Tiles, Dot, WeightFormat::kInt8>;
  table.multiply_quantized[1] = multiply_quantized_amx<Tiles, Dot, WeightFormat::kInt4>;
}
