// Quantised products on AVX2 for many rows. A group of a panel is unpacked once and met by a block
// of rows while it lies in the first cache level, so that what stands beside the multiplications is
// shared by the rows. Included after quantized_avx2.inl.
//
// int8: both operands become 16-bit pairs; one madd multiplies and adds 16 of them exactly, with no
// sign trick and no second addition. int4: the halves of the bytes are split beforehand, and
// widening happens once a group.

constexpr int kRowBlock = 48;   // rows that share an unpacked group of weights
constexpr int kPanelBlock = 4;  // panels that share unpacked rows
constexpr int kRowTile = 6;     // with both halves of a panel, 12 of the 16 registers

// A group of weights and of a row in the form that a step of the product reads: 64
// bytes of weights, 4 of a row.
struct Int8Step {
  static constexpr int kValues = 2;  // along k
  static constexpr int kSteps = group_size(WeightFormat::kInt8) / kValues;
  static constexpr int kRowBytes = 2 * group_size(WeightFormat::kInt8);
};
struct Int4Step {
  static constexpr int kValues = 4;
  static constexpr int kSteps = group_size(WeightFormat::kInt4) / kValues;
  static constexpr int kRowBytes = group_size(WeightFormat::kInt4);
};
template <WeightFormat kFormat>
using StepOf = std::conditional_t<kFormat == WeightFormat::kInt8, Int8Step, Int4Step>;

inline void store_bytes(std::byte* p, __m256i v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
}

template <WeightFormat kFormat>
inline void unpack_weights(const std::byte* w, std::byte* out) {
  if constexpr (kFormat == WeightFormat::kInt8) {
    // Bytes 0, 1 (and 2, 3) of each column's four to the upper bytes of its two words.
    const __m256i first =
        _mm256_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1, 0, -1, 1, -1,
                         4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13);
    const __m256i second = _mm256_add_epi8(first, _mm256_set1_epi16(0x200));
    for (int s = 0; s < Int8Step::kSteps; s += 2, w += 64, out += 128) {
      for (int h = 0; h < 2; ++h) {
        const __m256i four = load_bytes(w + 32 * h);
        store_bytes(out + 32 * h, _mm256_srai_epi16(_mm256_shuffle_epi8(four, first), 8));
        store_bytes(out + 64 + 32 * h, _mm256_srai_epi16(_mm256_shuffle_epi8(four, second), 8));
      }
    }
  } else {
    const __m256i low = _mm256_set1_epi8(15);
    for (int s = 0; s < Int4Step::kSteps; s += 2, w += 64, out += 128) {
      for (int h = 0; h < 2; ++h) {
        const __m256i both = load_bytes(w + 32 * h);
        store_bytes(out + 32 * h, _mm256_and_si256(both, low));
        store_bytes(out + 64 + 32 * h, _mm256_and_si256(_mm256_srli_epi16(both, 4), low));
      }
    }
  }
}

template <WeightFormat kFormat>
inline void unpack_row(const int8_t* row, std::byte* out) {
  if constexpr (kFormat == WeightFormat::kInt8) {
    for (int p = 0; p < group_size(kFormat); p += 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + p));
      store_bytes(out + 2 * p, _mm256_cvtepi8_epi16(bytes));
    }
  } else {
    __builtin_memcpy(out, row, group_size(kFormat));
  }
}

// sum += w * a, in the register that holds the sum: the compiler's own choice would be a new one
// each time, and most of the twelve sums would live in memory.
template <WeightFormat kFormat>
inline void add_step(__m256i w, __m256i a, __m256i& sum) {
  if constexpr (kFormat == WeightFormat::kInt8) {
    asm("vpaddd %1, %0, %0" : "+x"(sum) : "x"(_mm256_madd_epi16(w, a)));
  } else {  // eight steps stay within 16 bits: see add_int4_group
    asm("vpaddw %1, %0, %0" : "+x"(sum) : "x"(_mm256_maddubs_epi16(w, a)));
  }
}

// A panel's numbers for one group and the columns [8 h, 8 h + 8).
struct GroupOfHalf {
  __m256 scale;
  __m256i zero;
};
template <WeightFormat kFormat>
inline GroupOfHalf group_of_half(const WeightPanels& w, int64_t group, int h) {
  const int64_t at = group * kPanelColumns + 8 * h;
  GroupOfHalf half{load_scales(w.scales + at), {}};
  if constexpr (kFormat == WeightFormat::kInt4) {
    half.zero =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(w.zeros + at)));
  }
  return half;
}

// total[8] += the sums of a group of one row, scaled.
template <WeightFormat kFormat>
inline void settle(__m256i sums, const GroupOfHalf& half, float scale, int32_t sum, float* total) {
  if constexpr (kFormat == WeightFormat::kInt4) {
    sums = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
    sums = _mm256_sub_epi32(sums, _mm256_madd_epi16(half.zero, _mm256_set1_epi32(sum)));
  }
  const __m256 factor = _mm256_mul_ps(_mm256_set1_ps(scale), half.scale);
  const __m256 part = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), factor);
  _mm256_store_ps(total, _mm256_add_ps(_mm256_load_ps(total), part));
}

// total[6, 16] += the scaled sums of one unpacked group for six rows. Twelve names, since an array
// of them would not stay in registers.
template <WeightFormat kFormat>
inline void add_group(const std::byte* rows, const float* scales, const int32_t* sums,
                      const std::byte* w, const GroupOfHalf (&half)[2], float* total) {
  using Step = StepOf<kFormat>;
  constexpr int kLd = Step::kRowBytes;
  const auto* row = reinterpret_cast<const int8_t*>(rows);
  __m256i a0{}, a1{}, b0{}, b1{}, c0{}, c1{}, d0{}, d1{}, e0{}, e1{}, f0{}, f1{};
  for (int s = 0; s < Step::kSteps; ++s, w += 64, row += 4) {
    const __m256i w0 = load_bytes(w), w1 = load_bytes(w + 32);
    const auto meet = [&](int r, __m256i& s0, __m256i& s1) {
      const __m256i four = four_bytes(row + r * kLd);
      add_step<kFormat>(w0, four, s0);
      add_step<kFormat>(w1, four, s1);
    };
    meet(0, a0, a1);
    meet(1, b0, b1);
    meet(2, c0, c1);
    meet(3, d0, d1);
    meet(4, e0, e1);
    meet(5, f0, f1);
  }
  const auto keep = [&](int r, __m256i s0, __m256i s1) {
    settle<kFormat>(s0, half[0], scales[r], sums[r], total + r * kPanelColumns);
    settle<kFormat>(s1, half[1], scales[r], sums[r], total + r * kPanelColumns + 8);
  };
  keep(0, a0, a1);
  keep(1, b0, b1);
  keep(2, c0, c1);
  keep(3, d0, d1);
  keep(4, e0, e1);
  keep(5, f0, f1);
}

// c[rows, columns] = totals of one panel
inline void store_totals(const float* total, int rows, int columns, float* c, int64_t ldc) {
  for (int r = 0; r < rows; ++r, total += kPanelColumns, c += ldc) {
    for (int h = 0; 8 * h < columns; ++h) {
      if (columns - 8 * h >= 8) {
        store(c + 8 * h, load(total + 8 * h));
      } else {
        store(c + 8 * h, load(total + 8 * h), Tail(columns - 8 * h));
      }
    }
  }
}

// c[rows, columns] of one block: at most kRowBlock rows and kPanelBlock panels. What is read again,
// unpacked rows and totals, lies together in the first cache level; rows of c, which may be powers
// of two apart, would not. Rows come in sixes; the last six may hold rows that nobody asked for.
template <WeightFormat kFormat>
inline void multiply_block(const Int8Rows& a, int64_t row, int rows, const WeightPanels& w,
                           int64_t column, int columns, float* c, int64_t ldc) {
  using Step = StepOf<kFormat>;
  constexpr int kGroup = group_size(kFormat);
  constexpr int kPanelTotals = kRowBlock * kPanelColumns;
  alignas(64) std::byte left[kRowBlock * Step::kRowBytes] = {};
  alignas(64) std::byte right[Step::kSteps * 64];
  alignas(64) float totals[kPanelBlock * kPanelTotals] = {};
  float scales[kRowBlock] = {};
  int32_t sums[kRowBlock] = {};
  const int64_t ld = int64_t{a.groups} * kGroup;
  const int panels = (columns + kPanelColumns - 1) / kPanelColumns;
  for (int g = 0; g < a.groups; ++g) {
    for (int r = 0; r < rows; ++r) {
      unpack_row<kFormat>(a.values + (row + r) * ld + int64_t{g} * kGroup,
                          left + r * Step::kRowBytes);
      scales[r] = a.scales[(row + r) * a.groups + g];
      sums[r] = a.sums[(row + r) * a.groups + g];
    }
    for (int p = 0; p < panels; ++p) {
      const int64_t group = (column / kPanelColumns + p) * a.groups + g;
      unpack_weights<kFormat>(w.values + group * group_bytes(kFormat), right);
      const GroupOfHalf half[2] = {group_of_half<kFormat>(w, group, 0),
                                   group_of_half<kFormat>(w, group, 1)};
      for (int r = 0; r < rows; r += kRowTile) {
        add_group<kFormat>(left + r * Step::kRowBytes, scales + r, sums + r, right, half,
                           totals + p * kPanelTotals + r * kPanelColumns);
      }
    }
  }
  for (int p = 0; p < panels; ++p) {
    const int some = columns - p * kPanelColumns;
    store_totals(totals + p * kPanelTotals, rows, some < kPanelColumns ? some : kPanelColumns,
                 c + p * kPanelColumns, ldc);
  }
}

template <WeightFormat kFormat>
void multiply_many_rows(const Int8Rows& a, const WeightPanels& w, int m, int n, float* c,
                        int64_t ldc) noexcept {
  constexpr int kColumnBlock = kPanelBlock * kPanelColumns;
  for (int64_t column = 0; column < n; column += kColumnBlock) {
    const int columns = n - column < kColumnBlock ? static_cast<int>(n - column) : kColumnBlock;
    for (int64_t row = 0; row < m; row += kRowBlock) {
      const int rows = m - row < kRowBlock ? static_cast<int>(m - row) : kRowBlock;
      multiply_block<kFormat>(a, row, rows, w, column, columns, c + row * ldc + column, ldc);
    }
  }
}

// From here on unpacking pays; the last six rows of a block may be partly idle.
constexpr int least_rows_to_unpack(WeightFormat format) {
  return format == WeightFormat::kInt8 ? 33 : 16;
}

template <WeightFormat kFormat>
void multiply_quantized_avx2(const Int8Rows& a, const WeightPanels& w, int m, int n, float* c,
                             int64_t ldc) noexcept {
  if (m >= least_rows_to_unpack(kFormat)) {
    multiply_many_rows<kFormat>(a, w, m, n, c, ldc);
  } else {
    multiply_few_rows<kFormat>(a, w, m, n, c, ldc);
  }
}
