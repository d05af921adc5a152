// Quantised products on AVX2: up to four rows at a time against both halves of a panel, so that a
// weight is read and unpacked once for them.

constexpr int kQuantizedRows = 4;

inline __m256i four_bytes(const int8_t* p) {
  int32_t word;
  __builtin_memcpy(&word, p, sizeof word);
  return _mm256_set1_epi32(word);
}

inline __m256i load_bytes(const std::byte* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

inline __m256 load_scales(const uint16_t* p) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

// sum += x in the register that holds the sum. Left to itself the compiler adds in another order
// and keeps most sums in memory.
inline void add_words(__m256i x, __m256i& sum) { asm("vpaddd %1, %0, %0" : "+x"(sum) : "x"(x)); }
inline void add_halves(__m256i x, __m256i& sum) { asm("vpaddw %1, %0, %0" : "+x"(sum) : "x"(x)); }

// How far before their use the weights of the next panel, or of this one, are asked for.
template <bool kAhead>
inline void read_ahead(const std::byte* p, int64_t distance) {
  if constexpr (kAhead) _mm_prefetch(reinterpret_cast<const char*>(p + distance), _MM_HINT_T0);
}

// maddubs wants one unsigned operand: |w|, which all rows share, with w's sign moved to the row.
// Two products of at most 127 * 127 fit its 16 bits, four do not, so every step widens.
template <int R, bool kAhead>
inline void add_int8_group(const int8_t* rows, int64_t ld, const std::byte* w, int64_t ahead,
                           __m256i (&sum)[R][2]) {
  const __m256i ones = _mm256_set1_epi16(1);
  for (int p = 0; p < group_size(WeightFormat::kInt8); p += 4, w += 64) {
    read_ahead<kAhead>(w, ahead);
    const __m256i weights[2] = {load_bytes(w), load_bytes(w + 32)};
    const __m256i sizes[2] = {_mm256_abs_epi8(weights[0]), _mm256_abs_epi8(weights[1])};
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m256i a = four_bytes(rows + r * ld + p);
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        const __m256i pairs = _mm256_maddubs_epi16(sizes[h], _mm256_sign_epi8(a, weights[h]));
        add_words(_mm256_madd_epi16(pairs, ones), sum[r][h]);
      }
    }
  }
}

// The weights are unsigned already, and 8 steps of two products of at most 15 * 127 stay within 16
// bits: widening happens once a group.
template <int R, bool kAhead>
inline void add_int4_group(const int8_t* rows, int64_t ld, const std::byte* w, int64_t ahead,
                           __m256i (&sum)[R][2]) {
  const __m256i low = _mm256_set1_epi8(15);
  __m256i narrow[R][2] = {};
  for (int p = 0; p < group_size(WeightFormat::kInt4); p += 8, w += 64) {
    read_ahead<kAhead>(w, ahead);
    const __m256i both[2] = {load_bytes(w), load_bytes(w + 32)};
#pragma GCC unroll 2
    for (int s = 0; s < 2; ++s) {
      const __m256i weights[2] = {
          _mm256_and_si256(s == 0 ? both[0] : _mm256_srli_epi16(both[0], 4), low),
          _mm256_and_si256(s == 0 ? both[1] : _mm256_srli_epi16(both[1], 4), low)};
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const __m256i a = four_bytes(rows + r * ld + p + 4 * s);
#pragma GCC unroll 2
        for (int h = 0; h < 2; ++h) {
          add_halves(_mm256_maddubs_epi16(weights[h], a), narrow[r][h]);
        }
      }
    }
  }
  const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    for (int h = 0; h < 2; ++h) sum[r][h] = _mm256_madd_epi16(narrow[r][h], ones);
  }
}

// One panel against R rows.
template <WeightFormat kFormat, int R, bool kAhead>
inline void quantized_tile(const Int8Rows& a, int64_t row, const WeightPanels& w, int64_t panel,
                           int64_t ahead, int columns, float* c, int64_t ldc) {
  constexpr int kGroup = group_size(kFormat);
  const int64_t ld = int64_t{a.groups} * kGroup;
  __m256 total[R][2] = {};
  for (int g = 0; g < a.groups; ++g) {
    const int64_t theirs = panel + g;
    const int8_t* rows = a.values + row * ld + int64_t{g} * kGroup;
    const std::byte* values = w.values + theirs * group_bytes(kFormat);
    __m256i sum[R][2] = {};
    if constexpr (kFormat == WeightFormat::kInt8) {
      add_int8_group<R, kAhead>(rows, ld, values, ahead, sum);
    } else {
      add_int4_group<R, kAhead>(rows, ld, values, ahead, sum);
    }
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      const int64_t at = theirs * kPanelColumns + 8 * h;
      const __m256 scale = load_scales(w.scales + at);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const int64_t own = (row + r) * a.groups + g;
        if constexpr (kFormat == WeightFormat::kInt4) {
          const __m256i zero =
              _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(w.zeros + at)));
          // Both factors fit 16 bits, and the upper half of `zero` is 0: one multiplication.
          const __m256i shift = _mm256_madd_epi16(zero, _mm256_set1_epi32(a.sums[own]));
          sum[r][h] = _mm256_sub_epi32(sum[r][h], shift);
        }
        const __m256 factor = _mm256_mul_ps(_mm256_set1_ps(a.scales[own]), scale);
        total[r][h] =
            _mm256_add_ps(total[r][h], _mm256_mul_ps(_mm256_cvtepi32_ps(sum[r][h]), factor));
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    float* out = c + r * ldc;
    for (int h = 0; h < 2; ++h) {
      const int some = columns - 8 * h;
      if (some >= 8) {
        _mm256_storeu_ps(out + 8 * h, total[r][h]);
      } else if (some > 0) {
        store(out + 8 * h, total[r][h], Tail(some));
      }
    }
  }
}

// The rows of a panel come in tiles of about equal height. The last tile finds its weights in the
// cache and has the next panel's brought; where it is the only one, it reads ahead of itself.
template <WeightFormat kFormat>
void multiply_quantized_avx2(const Int8Rows& a, const WeightPanels& w, int m, int n, float* c,
                             int64_t ldc) noexcept {
  constexpr int64_t kOwnAhead = 4096;  // bytes
  const int tiles = (m + kQuantizedRows - 1) / kQuantizedRows;
  const int64_t ahead = tiles == 1 ? kOwnAhead : int64_t{a.groups} * group_bytes(kFormat);
  for (int64_t first = 0; first < n; first += kPanelColumns) {
    const int64_t panel = first / kPanelColumns * a.groups;
    const int columns = n - first < kPanelColumns ? static_cast<int>(n - first) : kPanelColumns;
    for (int tile = 0, r = 0; tile < tiles; ++tile) {
      const int left = tiles - tile, rows = (m - r + left - 1) / left;
      with_count<kQuantizedRows>(rows, [=, &a, &w](auto count) {
        constexpr int kRows = decltype(count)::value;
        float* out = c + r * ldc + first;
        if (left == 1) {
          quantized_tile<kFormat, kRows, true>(a, r, w, panel, ahead, columns, out, ldc);
        } else {
          quantized_tile<kFormat, kRows, false>(a, r, w, panel, ahead, columns, out, ldc);
        }
      });
      r += rows;
    }
  }
}
