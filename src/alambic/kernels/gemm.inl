// Products on vector registers, written once on vec.inl and compiled per ISA. The region defines
// kMr, the rows of the micro-kernel; it is kNr = 2 vectors wide. Every element of C is one chain of
// fma() over ascending k, whatever the tile it falls in, so a row's bits do not depend on its
// neighbours.

constexpr int kNr = 2 * kWidth;
// Depth of one pass, so that a panel of B stays in the first-level cache, and rows of one pass, so
// that the packed A stays in the second. C is reloaded between passes, which loses nothing.
constexpr int kDepth = kWidth == 16 ? 256 : 384;
constexpr int kRowsPerPass = 16 * kMr;

template <int N>
struct Constant {
  static constexpr int value = N;
};

// Calls body(Constant<rows>) for 1 <= rows <= Most.
template <int Most, class Body>
inline void with_rows(int rows, Body body) {
  if constexpr (Most == 1) {
    body(Constant<1>{});
  } else if (rows == Most) {
    body(Constant<Most>{});
  } else {
    with_rows<Most - 1>(rows, body);
  }
}

// c[R, columns] (+)= a[R, k] b[k, columns], columns = P vectors of which the last is masked; a(i,
// p) reads A.
template <int R, int P, class A, class MaskB, class MaskC>
inline void tile(A a, const float* b, int64_t ldb, MaskB mask_b, int k, float* c, int64_t ldc,
                 MaskC mask_c, bool accumulate) {
  V sum[R][P];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    for (int q = 0; q < P; ++q) sum[i][q] = V{};
  }
  if (accumulate) {
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      for (int q = 0; q + 1 < P; ++q) sum[i][q] = load(c + i * ldc + q * kWidth);
      sum[i][P - 1] = load(c + i * ldc + (P - 1) * kWidth, mask_c);
    }
  }
  for (int p = 0; p < k; ++p) {
    V right[P];
    for (int q = 0; q + 1 < P; ++q) right[q] = load(b + q * kWidth);
    right[P - 1] = load(b + (P - 1) * kWidth, mask_b);
    b += ldb;
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const V left = splat(a(i, p));
      for (int q = 0; q < P; ++q) sum[i][q] = fma(left, right[q], sum[i][q]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    for (int q = 0; q + 1 < P; ++q) store(c + i * ldc + q * kWidth, sum[i][q]);
    store(c + i * ldc + (P - 1) * kWidth, sum[i][P - 1], mask_c);
  }
}

// Cuts `columns` <= kNr into the tile's vectors and mask.
template <int R, class A>
inline void tile_columns(A a, const float* b, int64_t ldb, bool padded, int columns, int k,
                         float* c, int64_t ldc, bool accumulate) {
  if (columns == kNr) {
    tile<R, 2>(a, b, ldb, Full{}, k, c, ldc, Full{}, accumulate);
  } else if (columns > kWidth) {
    const Tail tail(columns - kWidth);
    if (padded) {
      tile<R, 2>(a, b, ldb, Full{}, k, c, ldc, tail, accumulate);
    } else {
      tile<R, 2>(a, b, ldb, tail, k, c, ldc, tail, accumulate);
    }
  } else {
    const Tail tail(columns);
    if (padded) {
      tile<R, 1>(a, b, ldb, Full{}, k, c, ldc, tail, accumulate);
    } else {
      tile<R, 1>(a, b, ldb, tail, k, c, ldc, tail, accumulate);
    }
  }
}

// One or two rows of a packed product. Their two or four chains would wait for each other, so
// several panels of B run abreast. Returns the columns done; what is left is less than that many
// panels.
template <int R, int kPanels>
inline int64_t few_rows(const float* a, const float* b, int64_t n, int k, float* c, int64_t ldc,
                        bool accumulate) {
  constexpr int kVectors = 2 * kPanels;
  int64_t j = 0;
  for (; j + kPanels * kNr <= n; j += kPanels * kNr) {
    V sum[R][kVectors] = {};
    if (accumulate) {
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
#pragma GCC unroll 16
        for (int q = 0; q < kVectors; ++q) sum[i][q] = load(c + i * ldc + j + q * kWidth);
      }
    }
    for (int p = 0; p < k; ++p) {
      V left[R];
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) left[i] = splat(a[p * kMr + i]);
#pragma GCC unroll 16
      for (int q = 0; q < kVectors; ++q) {
        const int64_t panel = j + q / 2 * kNr;
        const V right = load(b + panel * k + p * kNr + q % 2 * kWidth);
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i) sum[i][q] = fma(left[i], right, sum[i][q]);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
#pragma GCC unroll 16
      for (int q = 0; q < kVectors; ++q) store(c + i * ldc + j + q * kWidth, sum[i][q]);
    }
  }
  return j;
}

void multiply(const std::byte* packed_a, const std::byte* packed_b, int m, int n, int k, float* c,
              int64_t ldc, bool accumulate) noexcept {
  const float* a = reinterpret_cast<const float*>(packed_a);
  const float* b = reinterpret_cast<const float*>(packed_b);
  if (m <= 2) {
    const int64_t done = m == 1 ? few_rows<1, 4>(a, b, n, k, c, ldc, accumulate)
                                : few_rows<2, 2>(a, b, n, k, c, ldc, accumulate);
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
      const int64_t i1 = i0 + kRowsPerPass < m ? i0 + kRowsPerPass : m;
      for (int64_t j = 0; j < n; j += kNr) {
        const float* right = b + j * k + p0 * kNr;
        const int columns = n - j < kNr ? static_cast<int>(n - j) : kNr;
        for (int64_t i = i0; i < i1; i += kMr) {
          const float* left = a + i * k + p0 * kMr;
          const int rows = i1 - i < kMr ? static_cast<int>(i1 - i) : kMr;
          with_rows<kMr>(rows, [=](auto count) {
            tile_columns<decltype(count)::value>([=](int r, int p) { return left[p * kMr + r]; },
                                                 right, kNr, true, columns, kc, c + i * ldc + j,
                                                 ldc, add_to);
          });
        }
      }
    }
  }
}

void matmul_small(const float* a, int64_t a_row, int64_t a_col, const float* b, int64_t ldb, int m,
                  int n, int k, float* c, int64_t ldc, bool accumulate) noexcept {
  for (int i = 0; i < m; i += kMr) {
    const int rows = m - i < kMr ? m - i : kMr;
    const float* left = a + i * a_row;
    for (int j = 0; j < n; j += kNr) {
      const int columns = n - j < kNr ? n - j : kNr;
      with_rows<kMr>(rows, [=](auto count) {
        tile_columns<decltype(count)::value>(
            [=](int r, int p) { return left[r * a_row + p * a_col]; }, b + j, ldb, false, columns,
            k, c + i * ldc + j, ldc, accumulate);
      });
    }
  }
}
