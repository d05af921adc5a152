// bf16 products on 2 x 2 tiles of 16 x 16, written on a policy `Tiles` (the instructions, or their
// emulation in the tests). Included after vec.inl with 16 lanes.
//
// A panel is 32 rows of A or 32 columns of B. For every 32 of k it holds two tiles of 1 KB: A's
// tile has row i with 32 consecutive k; B's has row q with the pair k = 2q, 2q + 1 of 16 columns. k
// is padded with zeros. A row's bits depend on the sequence of k tiles only, and that is the same
// for every m, n and blocking.

constexpr int kTileRows = 16, kTileDepth = 32, kPanel = 32;
constexpr int64_t kTileWords = kTileRows * kTileDepth;  // bf16 in a tile
constexpr int64_t kPanelWords = 2 * kTileWords;         // in the two tiles of one step of a panel

using Words = uint16_t __attribute__((vector_size(64)));
using LooseWords = uint16_t __attribute__((vector_size(64), aligned(2), may_alias));
using LooseHalf = uint16_t __attribute__((vector_size(32), aligned(2), may_alias));

inline int64_t k_tiles(int k) { return (int64_t{k} + kTileDepth - 1) / kTileDepth; }

// Lanes of the two halves of one stage of the transposition below.
template <int Step, bool kUpper>
constexpr uint32_t swapped_lane(int lane) {
  const bool second = (lane & Step) != 0;
  if (kUpper) return static_cast<uint32_t>(second ? 16 + lane : lane + Step);
  return static_cast<uint32_t>(second ? 16 + lane - Step : lane);
}
template <int Step, bool kUpper, int... kLane>
inline VU swapped_lanes(std::integer_sequence<int, kLane...>) {
  return VU{swapped_lane<Step, kUpper>(kLane)...};
}

// Swaps the off-diagonal blocks of Step x Step.
template <int Step>
inline void swap_blocks(VU (&t)[16]) {
  const VU lower = swapped_lanes<Step, false>(std::make_integer_sequence<int, 16>{});
  const VU upper = swapped_lanes<Step, true>(std::make_integer_sequence<int, 16>{});
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    if ((i & Step) != 0) continue;
    const VU a = t[i], b = t[i + Step];
    t[i] = __builtin_shuffle(a, b, lower);
    t[i + Step] = __builtin_shuffle(a, b, upper);
  }
}

inline void transpose_16x16(VU (&t)[16]) {
  swap_blocks<8>(t);
  swap_blocks<4>(t);
  swap_blocks<2>(t);
  swap_blocks<1>(t);
}

// Pairs of neighbours (2q, 2q + 1) out of 32 consecutive elements.
template <class Tiles>
inline VU pairs_along(const float* p) {
  return Tiles::words(load(p), load(p + kWidth));
}
template <class Tiles>
inline VU pairs_along(const uint16_t* p) {
  return reinterpret_cast<VU>(Words(*reinterpret_cast<const LooseWords*>(p)));
}

// Pairs (first[i], second[i]) out of 16 consecutive elements of two rows.
template <class Tiles>
inline VU pairs_across(const float* first, const float* second) {
  const Words both = reinterpret_cast<Words>(Tiles::words(load(first), load(second)));
  const Words order = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                       8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return reinterpret_cast<VU>(__builtin_shuffle(both, order));
}
template <class Tiles>
inline VU pairs_across(const uint16_t* first, const uint16_t* second) {
  const LooseHalf low = *reinterpret_cast<const LooseHalf*>(first);
  const LooseHalf high = *reinterpret_cast<const LooseHalf*>(second);
  return __builtin_convertvector(low, VU) | (__builtin_convertvector(high, VU) << 16);
}

inline void store_tile_row(uint16_t* out, int row, VU v) {
  __builtin_memcpy(out + row * kTileDepth, &v, sizeof v);
}

inline void store_transposed(VU (&t)[16], uint16_t* out) {
  transpose_16x16(t);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) store_tile_row(out, i, t[i]);
}

// One tile from in[i * across + p * along], i < count <= 16, p < depth <= 32; the rest is zero.
// Reading along k gives rows of A, reading across gives rows of B; the other two cases transpose.
template <class Tiles, bool kIsA, class Item>
inline void pack_tile(const Item* in, int64_t across, int64_t along, int count, int depth,
                      uint16_t* out) {
  VU t[16];
  const bool whole = count == kTileRows && depth == kTileDepth;
  if (whole && along == 1) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      const VU row = pairs_along<Tiles>(in + i * across);
      if constexpr (kIsA) store_tile_row(out, i, row);
      t[i] = row;
    }
    if constexpr (!kIsA) store_transposed(t, out);
  } else if (whole && across == 1) {
#pragma GCC unroll 16
    for (int q = 0; q < 16; ++q) {
      const VU row = pairs_across<Tiles>(in + 2 * q * along, in + (2 * q + 1) * along);
      if constexpr (!kIsA) store_tile_row(out, q, row);
      t[q] = row;
    }
    if constexpr (kIsA) store_transposed(t, out);
  } else {
    for (int i = 0; i < 16; ++i) {
      if (i < count && along == 1 && depth == kTileDepth) {
        t[i] = pairs_along<Tiles>(in + i * across);
      } else {
        Item row[kTileDepth] = {};
        for (int p = 0; i < count && p < depth; ++p) row[p] = in[i * across + p * along];
        t[i] = pairs_along<Tiles>(row);
      }
    }
    if constexpr (kIsA) {
      for (int i = 0; i < 16; ++i) store_tile_row(out, i, t[i]);
    } else {
      store_transposed(t, out);
    }
  }
}

template <class Tiles, bool kIsA, class Item>
inline void pack_amx_items(const void* data, int64_t across, int64_t along, int count, int k,
                           std::byte* panels) {
  const Item* in = static_cast<const Item*>(data);
  auto* out = reinterpret_cast<uint16_t*>(panels);
  for (int64_t i0 = 0; i0 < count; i0 += kPanel) {
    for (int64_t p = 0; p < k; p += kTileDepth) {
      const int depth = k - p < kTileDepth ? static_cast<int>(k - p) : kTileDepth;
      for (int64_t i = i0; i < i0 + kPanel; i += kTileRows, out += kTileWords) {
        const int64_t left = count - i;
        if (left <= 0) {
          __builtin_memset(out, 0, kTileWords * sizeof(uint16_t));
          continue;
        }
        pack_tile<Tiles, kIsA>(in + i * across + p * along, across, along,
                               left < kTileRows ? static_cast<int>(left) : kTileRows, depth, out);
      }
    }
  }
}

template <class Tiles, bool kIsA>
inline void pack_amx(const Matrix& in, int64_t across, int64_t along, int count, int k,
                     std::byte* panels) {
  if (in.element == Element::kF32) {
    pack_amx_items<Tiles, kIsA, float>(in.data, across, along, count, k, panels);
  } else {
    pack_amx_items<Tiles, kIsA, uint16_t>(in.data, across, along, count, k, panels);
  }
}

template <class Tiles>
void pack_amx_a(const Matrix& a, int m, int k, std::byte* panels) noexcept {
  pack_amx<Tiles, true>(a, a.row_stride, a.col_stride, m, k, panels);
}
template <class Tiles>
void pack_amx_b(const Matrix& b, int k, int n, std::byte* panels) noexcept {
  pack_amx<Tiles, false>(b, b.col_stride, b.row_stride, n, k, panels);
}

// Two by two tiles of C: 0 1 / 2 3; A in 4 and 5, B in 6 and 7. Without kTwoRows or kTwoColumns the
// second half is left alone. `stream_a` reads A past the first-level cache, else B: the operand
// that the caller's inner loop does not come back to.
template <class Tiles, bool kTwoRows, bool kTwoColumns, bool kStreamA>
inline void tile_block(const uint16_t* a, const uint16_t* b, int64_t steps, float* c, int64_t ldc,
                       bool accumulate) {
  const int64_t stride = ldc * static_cast<int64_t>(sizeof(float));
  if (accumulate) {
    Tiles::template load<0>(c, stride);
    if constexpr (kTwoColumns) Tiles::template load<1>(c + 16, stride);
    if constexpr (kTwoRows) Tiles::template load<2>(c + 16 * ldc, stride);
    if constexpr (kTwoRows && kTwoColumns) Tiles::template load<3>(c + 16 * ldc + 16, stride);
  } else {
    Tiles::template zero<0>();
    if constexpr (kTwoColumns) Tiles::template zero<1>();
    if constexpr (kTwoRows) Tiles::template zero<2>();
    if constexpr (kTwoRows && kTwoColumns) Tiles::template zero<3>();
  }
  for (int64_t step = 0; step < steps; ++step, a += kPanelWords, b += kPanelWords) {
    Tiles::template load<4, kStreamA>(a, 64);
    Tiles::template load<6, !kStreamA>(b, 64);
    Tiles::template dot<0, 4, 6>();
    if constexpr (kTwoColumns) {
      Tiles::template load<7, !kStreamA>(b + kTileWords, 64);
      Tiles::template dot<1, 4, 7>();
    }
    if constexpr (kTwoRows) {
      Tiles::template load<5, kStreamA>(a + kTileWords, 64);
      Tiles::template dot<2, 5, 6>();
      if constexpr (kTwoColumns) Tiles::template dot<3, 5, 7>();
    }
  }
  Tiles::template store<0>(c, stride);
  if constexpr (kTwoColumns) Tiles::template store<1>(c + 16, stride);
  if constexpr (kTwoRows) Tiles::template store<2>(c + 16 * ldc, stride);
  if constexpr (kTwoRows && kTwoColumns) Tiles::template store<3>(c + 16 * ldc + 16, stride);
}

template <class Tiles, bool kStreamA>
inline void tile_block_of(bool two_rows, bool two_columns, const uint16_t* a, const uint16_t* b,
                          int64_t steps, float* c, int64_t ldc, bool accumulate) {
  if (two_rows && two_columns) {
    tile_block<Tiles, true, true, kStreamA>(a, b, steps, c, ldc, accumulate);
  } else if (two_rows) {
    tile_block<Tiles, true, false, kStreamA>(a, b, steps, c, ldc, accumulate);
  } else if (two_columns) {
    tile_block<Tiles, false, true, kStreamA>(a, b, steps, c, ldc, accumulate);
  } else {
    tile_block<Tiles, false, false, kStreamA>(a, b, steps, c, ldc, accumulate);
  }
}

// rows x columns <= 32 x 32 of C. Ragged edges pass through a scratch block, as tiles cannot be
// cut.
template <class Tiles, bool kStreamA>
inline void panel_product(const uint16_t* a, const uint16_t* b, int64_t steps, int rows,
                          int columns, float* c, int64_t ldc, bool accumulate) {
  const bool two_rows = rows > kTileRows, two_columns = columns > kTileRows;
  if (rows % kTileRows == 0 && columns % kTileRows == 0) {
    tile_block_of<Tiles, kStreamA>(two_rows, two_columns, a, b, steps, c, ldc, accumulate);
    return;
  }
  alignas(64) float scratch[kPanel * kPanel];
  if (accumulate) {
    for (int r = 0; r < rows; ++r) {
      sweep(columns, [&](int64_t i, auto mask) {
        store(scratch + r * kPanel + i, load(c + r * ldc + i, mask), mask);
      });
    }
  }
  tile_block_of<Tiles, kStreamA>(two_rows, two_columns, a, b, steps, scratch, kPanel, accumulate);
  for (int r = 0; r < rows; ++r) {
    sweep(columns, [&](int64_t i, auto mask) {
      store(c + r * ldc + i, load(scratch + r * kPanel + i, mask), mask);
    });
  }
}

template <class Tiles>
void multiply_amx(const std::byte* packed_a, const std::byte* packed_b, int m, int n, int k,
                  float* c, int64_t ldc, bool accumulate) noexcept {
  const auto* a = reinterpret_cast<const uint16_t*>(packed_a);
  const auto* b = reinterpret_cast<const uint16_t*>(packed_b);
  const int64_t steps = k_tiles(k);
  // Reloading C between pieces of k costs about as much as 64 of k, so k stays whole until even a
  // low block of A would leave the second-level cache.
  constexpr int64_t kWholeSteps = 72, kPieceSteps = 16, kCacheBytes = 1200 << 10;
  const int64_t piece = steps > kWholeSteps ? kPieceSteps : (steps > 0 ? steps : 1);
  const int64_t panel_bytes = piece * kPanelWords * static_cast<int64_t>(sizeof(uint16_t));
  const int64_t panels = kCacheBytes / panel_bytes;
  const int64_t rows_per_pass = kPanel * (panels < 4 ? 4 : panels);
  Tiles::configure();
  for (int64_t s0 = 0; s0 == 0 || s0 < steps; s0 += piece) {
    const int64_t some = steps - s0 < piece ? steps - s0 : piece;
    const bool add_to = accumulate || s0 > 0;
    for (int64_t i0 = 0; i0 < m; i0 += rows_per_pass) {
      const int64_t i1 = i0 + rows_per_pass < m ? i0 + rows_per_pass : m;
      for (int64_t j = 0; j < n; j += kPanel) {
        const uint16_t* right = b + (j / kPanel * steps + s0) * kPanelWords;
        const int columns = n - j < kPanel ? static_cast<int>(n - j) : kPanel;
        for (int64_t i = i0; i < i1; i += kPanel) {
          const uint16_t* left = a + (i / kPanel * steps + s0) * kPanelWords;
          const int rows = i1 - i < kPanel ? static_cast<int>(i1 - i) : kPanel;
          float* out = c + i * ldc + j;
          // With one panel of rows it is B that passes by once.
          if (m > kPanel) {
            panel_product<Tiles, true>(left, right, some, rows, columns, out, ldc, add_to);
          } else {
            panel_product<Tiles, false>(left, right, some, rows, columns, out, ldc, add_to);
          }
        }
      }
    }
  }
  Tiles::release();
}

inline size_t panel_bytes_amx(int k) noexcept {
  return static_cast<size_t>(k_tiles(k) * kPanelWords) * sizeof(uint16_t);
}

template <class Tiles>
Gemm amx_gemm() {
  return {kPanel,
          kPanel,
          panel_bytes_amx,
          panel_bytes_amx,
          pack_amx_a<Tiles>,
          pack_amx_b<Tiles>,
          multiply_amx<Tiles>};
}
