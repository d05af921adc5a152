// Products on vector registers, written once on vec.inl and compiled per ISA. The region defines
// kMr, the rows of the micro-kernel; it is kNr = 2 vectors wide. Every element of C is one chain of
// fma() over ascending k, whatever the tile it falls in, so a row's bits do not depend on its
// neighbours.

constexpr int kNr = 2 * kWidth;
// Depth of one pass, so that a panel of B stays in the first-level cache, and rows of one pass, so
// that the packed A stays in the second. C is reloaded between passes, which loses nothing.
constexpr int kDepth = kWidth == 16 ? 256 : 384;
constexpr int kRowsPerPass = 16 * kMr;

// Columns of B that go abreast for R rows, in vectors: enough chains to hide the latency of fma(),
// few enough for the registers.
template <int R>
constexpr int kAbreast = R == 1   ? 8
                         : R == 2 ? 4
                         : R == 3 ? 3
                                  : 2;
template <class Item, int R>
constexpr int kUnitsAbreast = kAbreast<R> / Columns<Item>::kVectors;

template <int N>
struct Constant {
  static constexpr int value = N;
};

// Calls body(Constant<count>) for 1 <= count <= Most.
template <int Most, class Body>
inline void with_count(int count, Body body) {
  if constexpr (Most == 1) {
    body(Constant<1>{});
  } else if (count == Most) {
    body(Constant<Most>{});
  } else {
    with_count<Most - 1>(count, body);
  }
}

// c[R, columns] (+)= a[R, k] b[k, columns], columns = U units of B of which the last is masked;
// a(i, p) reads A, b(p, u) is where unit u of row p of B starts.
template <class Item, int R, int U, class A, class B, class MaskB, class MaskC>
inline void tile(A a, B b, MaskB mask_b, int k, float* c, int64_t ldc, MaskC mask_c,
                 bool accumulate) {
  using Unit = Columns<Item>;
  constexpr int kVectors = Unit::kVectors, P = U * kVectors;
  V sum[R][P];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 16
    for (int q = 0; q < P; ++q) sum[i][q] = V{};
  }
  if (accumulate) {
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      float* row = c + i * ldc;
#pragma GCC unroll 16
      for (int u = 0; u + 1 < U; ++u) {
        Unit::load_c(row + u * Unit::kUnit, sum[i] + u * kVectors, Full{});
      }
      Unit::load_c(row + (U - 1) * Unit::kUnit, sum[i] + (U - 1) * kVectors, mask_c);
    }
  }
  for (int p = 0; p < k; ++p) {
    if constexpr (R < P) {
      // Few rows: their elements stay in registers, B passes by.
      V left[R];
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) left[i] = splat(a(i, p));
#pragma GCC unroll 16
      for (int u = 0; u < U; ++u) {
        V right[kVectors];
        if (u + 1 < U) {
          Unit::load_b(b(p, u), right, Full{});
        } else {
          Unit::load_b(b(p, u), right, mask_b);
        }
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 16
          for (int i = 0; i < R; ++i) {
            V& to = sum[i][u * kVectors + v];
            to = fma(left[i], right[v], to);
          }
        }
      }
    } else {
      V right[U][kVectors];
#pragma GCC unroll 16
      for (int u = 0; u + 1 < U; ++u) Unit::load_b(b(p, u), right[u], Full{});
      Unit::load_b(b(p, U - 1), right[U - 1], mask_b);
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
        const V left = splat(a(i, p));
#pragma GCC unroll 16
        for (int q = 0; q < P; ++q) {
          sum[i][q] = fma(left, right[q / kVectors][q % kVectors], sum[i][q]);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    float* row = c + i * ldc;
#pragma GCC unroll 16
    for (int u = 0; u + 1 < U; ++u) {
      Unit::store_c(row + u * Unit::kUnit, sum[i] + u * kVectors, Full{});
    }
    Unit::store_c(row + (U - 1) * Unit::kUnit, sum[i] + (U - 1) * kVectors, mask_c);
  }
}

// Cuts `columns` into at most kMost units and a mask. Padded rows of B may be read past the last
// column.
template <class Item, int R, int kMost, bool kPadded, class A, class B>
inline void tile_columns(A a, B b, int columns, int k, float* c, int64_t ldc, bool accumulate) {
  using Unit = Columns<Item>;
  const int units = (columns + Unit::kUnit - 1) / Unit::kUnit;
  const int last = columns - (units - 1) * Unit::kUnit;
  with_count<kMost>(units, [=](auto count) {
    constexpr int U = decltype(count)::value;
    if (last == Unit::kUnit) {
      tile<Item, R, U>(a, b, Full{}, k, c, ldc, Full{}, accumulate);
      return;
    }
    const typename Unit::Mask mask(last);
    if constexpr (kPadded) {
      tile<Item, R, U>(a, b, Full{}, k, c, ldc, mask, accumulate);
    } else {
      tile<Item, R, U>(a, b, mask, k, c, ldc, mask, accumulate);
    }
  });
}

// `rows` rows of packed A times one panel of B, both from some k on to kc further.
template <class Item>
inline void rows_times_panel(const float* a, int k, const Item* b, int64_t rows, int columns,
                             int kc, float* c, int64_t ldc, bool accumulate) {
  const auto right = [=](int p, int u) { return b + p * kNr + u * Columns<Item>::kUnit; };
  for (int64_t i = 0; i < rows; i += kMr) {
    const float* left = a + i * k;
    const int some = rows - i < kMr ? static_cast<int>(rows - i) : kMr;
    with_count<kMr>(some, [=](auto count) {
      tile_columns<Item, decltype(count)::value, kNr / Columns<Item>::kUnit, true>(
          [=](int r, int p) { return left[p * kMr + r]; }, right, columns, kc, c + i * ldc, ldc,
          accumulate);
    });
  }
}

// One or two rows of a packed product. Their two or four chains would wait for each other, so
// several panels of B run abreast. Returns the columns done; what is left is less than that many
// panels.
template <class Item, int R>
inline int64_t few_rows(const float* a, const Item* b, int64_t n, int k, float* c, int64_t ldc,
                        bool accumulate) {
  using Unit = Columns<Item>;
  constexpr int kUnits = kUnitsAbreast<Item, R>, kUnitsPerPanel = kNr / Unit::kUnit;
  int64_t j = 0;
  for (; j + kUnits * Unit::kUnit <= n; j += kUnits * Unit::kUnit) {
    const Item* panel = b + j * k;
    const auto right = [=](int p, int u) {
      return panel + u / kUnitsPerPanel * int64_t{kNr} * k + p * kNr +
             u % kUnitsPerPanel * Unit::kUnit;
    };
    tile<Item, R, kUnits>([=](int r, int p) { return a[p * kMr + r]; }, right, Full{}, k, c + j,
                          ldc, Full{}, accumulate);
  }
  return j;
}

// Rows from which on it pays to widen a panel of bf16 once for all of them.
constexpr int64_t kWidenFrom = 4 * kMr + 1;

template <class Item>
void multiply(const std::byte* packed_a, const std::byte* packed_b, int m, int n, int k, float* c,
              int64_t ldc, bool accumulate) noexcept {
  const float* a = reinterpret_cast<const float*>(packed_a);
  const Item* b = reinterpret_cast<const Item*>(packed_b);
  if (m <= 2) {
    const int64_t done = m == 1 ? few_rows<Item, 1>(a, b, n, k, c, ldc, accumulate)
                                : few_rows<Item, 2>(a, b, n, k, c, ldc, accumulate);
    if (done == n) return;
    b += done * k, c += done, n -= static_cast<int>(done);
  }
  const int passes = k > kDepth ? (k + kDepth - 1) / kDepth : 1;
  const int depth = (k + passes - 1) / passes;
  for (int pass = 0; pass < passes; ++pass) {
    const int64_t p0 = int64_t{pass} * depth;
    const int kc = k - p0 < depth ? static_cast<int>(k - p0) : depth;
    const bool add_to = accumulate || pass > 0;
    for (int64_t i0 = 0; i0 < m; i0 += kRowsPerPass) {
      const int64_t rows = m - i0 < kRowsPerPass ? m - i0 : kRowsPerPass;
      const float* left = a + i0 * k + p0 * kMr;
      for (int64_t j = 0; j < n; j += kNr) {
        const Item* right = b + j * k + p0 * kNr;
        const int columns = n - j < kNr ? static_cast<int>(n - j) : kNr;
        float* out = c + i0 * ldc + j;
        if constexpr (!std::is_same_v<Item, float>) {
          if (rows >= kWidenFrom) {
            alignas(64) float wide[kDepth * kNr];
            from_bf16(right, int64_t{kc} * kNr, wide);
            rows_times_panel(left, k, wide, rows, columns, kc, out, ldc, add_to);
            continue;
          }
        }
        rows_times_panel(left, k, right, rows, columns, kc, out, ldc, add_to);
      }
    }
  }
}

template <class Item>
void matmul_small(const float* a, int64_t a_row, int64_t a_col, const Item* b, int64_t ldb, int m,
                  int n, int k, float* c, int64_t ldc, bool accumulate) noexcept {
  for (int i = 0; i < m; i += kMr) {
    const int rows = m - i < kMr ? m - i : kMr;
    const float* left = a + i * a_row;
    with_count<kMr>(rows, [=](auto count) {
      constexpr int R = decltype(count)::value, kUnits = kUnitsAbreast<Item, R>;
      constexpr int kStep = kUnits * Columns<Item>::kUnit;
      for (int j = 0; j < n; j += kStep) {
        const int columns = n - j < kStep ? n - j : kStep;
        const Item* right = b + j;
        tile_columns<Item, R, kUnits, false>(
            [=](int r, int p) { return left[r * a_row + p * a_col]; },
            [=](int p, int u) { return right + p * ldb + u * Columns<Item>::kUnit; }, columns, k,
            c + i * ldc + j, ldc, accumulate);
      }
    });
  }
}
