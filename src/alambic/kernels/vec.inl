// A vector of kWidth floats on GCC vector extensions. Included inside a namespace and a target
// region that has defined `constexpr int kWidth` (4, 8 or 16); the region then adds what the
// extensions lack: fma(), sqrt(), and Tail, the mask of a last partial vector, with its load(),
// store(), keep() and load_pairs() (words of two bf16), and widened(), which loads bf16 in order.
// Plain loads and stores take any 4-byte alignment.

using V = float __attribute__((vector_size(4 * kWidth)));
using VU = uint32_t __attribute__((vector_size(4 * kWidth)));
using VS = int32_t __attribute__((vector_size(4 * kWidth)));
using V4 = float __attribute__((vector_size(16)));
using VU4 = uint32_t __attribute__((vector_size(16)));

using LooseV = float __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));
using LooseV4 = float __attribute__((vector_size(16), aligned(4), may_alias));
using LooseVU = uint32_t __attribute__((vector_size(4 * kWidth), aligned(2), may_alias));
using LooseH = uint16_t __attribute__((vector_size(2 * kWidth), aligned(2), may_alias));
using LooseH4 = uint16_t __attribute__((vector_size(8), aligned(2), may_alias));

// The mask of a whole vector, so that one body serves both the loop and its tail.
struct Full {};

// x - 0 keeps the sign of zero, which 0 + x would not.
inline V splat(float x) { return x - V{}; }
inline V load(const float* p, Full = {}) { return *reinterpret_cast<const LooseV*>(p); }
inline void store(float* p, V v, Full = {}) { *reinterpret_cast<LooseV*>(p) = v; }
inline V keep(V v, V /*otherwise*/, Full) { return v; }
inline V larger(V a, V b) { return a > b ? a : b; }

// How reductions join lanes. Named, because a lambda without captures brings along a plain function
// that misses the target region.
struct Plus {
  V operator()(V a, V b) const { return a + b; }
};
struct Larger {
  V operator()(V a, V b) const { return larger(a, b); }
};

// To nearest even in the upper half of each word, noise in the lower; a NaN stays a NaN.
template <class U, class F>
inline U nearest_bf16(F v) {
  const U u = reinterpret_cast<U>(v);
  const U rounded = u + 0x7fffu + ((u >> 16) & 1u);
  return v == v ? rounded : (u | 0x400000u);
}
template <class U, class F>
inline U round_to_bf16(F v) {
  return nearest_bf16<U>(v) & 0xffff0000u;
}

// 2^i for -126 <= i <= 127; unsigned, so that the exponent of a NaN, which is noise, overflows
// quietly.
inline V power_of_two(VS i) { return reinterpret_cast<V>((reinterpret_cast<VU>(i) + 127u) << 23); }

// e^x: x = n ln2 + r with ln2 in two parts, a polynomial of degree 6 in r (weighted least squares
// driven to equal ripple, 3e-9 relative), and 2^n applied in two halves so that the ends of the
// range round once. Maximum relative error 2e-7; below -105 it is 0, above 89 infinity; NaN stays
// NaN.
inline V exp(V x) {
  const V low = splat(-105.0f), high = splat(89.0f), magic = splat(0x1.8p23f);
  x = x < low ? low : x;
  x = x > high ? high : x;
  const V shifted = fma(x, splat(0x1.715476p+0f), magic);
  const V n = shifted - magic;
  const V r = fma(n, splat(0x1.bd0106p-13f), fma(n, splat(-0x1.63p-1f), x));
  V p = splat(0x1.6a235ep-10f);
  p = fma(p, r, splat(0x1.123a70p-7f));
  p = fma(p, r, splat(0x1.5558f4p-5f));
  p = fma(p, r, splat(0x1.555490p-3f));
  p = fma(p, r, splat(0x1.fffffcp-2f));
  p = fma(r * r, p, r) + splat(1.0f);
  const VS i = reinterpret_cast<VS>(reinterpret_cast<VU>(shifted) - 0x4b400000u);
  const VS half = i >> 1;
  const VS rest = reinterpret_cast<VS>(reinterpret_cast<VU>(i) - reinterpret_cast<VU>(half));
  return p * power_of_two(half) * power_of_two(rest);
}

inline V sigmoid(V x) { return splat(1.0f) / (splat(1.0f) + exp(splat(0.0f) - x)); }

// body(i, mask) for i = 0, kWidth, ... < n; the last call gets a Tail when n is no multiple of
// kWidth.
template <class Body>
inline void sweep(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) body(i, Full{});
  if (i < n) body(i, Tail(static_cast<int>(n - i)));
}

// Reductions use 32 lanes and one fixed tree whatever the ISA: element i goes to lane i mod 32,
// then the upper half of the lanes joins the lower until one is left. The same bits on AVX2 and
// AVX-512.
constexpr int kLanes = 32;
constexpr int kRegisters = kLanes / kWidth;

template <class Join>
inline float fold(V (&lanes)[kRegisters], Join join) {
  for (int half = kRegisters / 2; half > 0; half /= 2) {
    for (int r = 0; r < half; ++r) lanes[r] = join(lanes[r], lanes[r + half]);
  }
  alignas(64) float x[kWidth];
  store(x, lanes[0]);
  for (int half = kWidth / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) {
      x[i] = join(splat(x[i]), splat(x[i + half]))[0];
    }
  }
  return x[0];
}

// Folds step(i, mask, lane) over [0, n), every lane starting at `start`.
template <class Step, class Join>
inline float reduce(int64_t n, float start, Step step, Join join) {
  V lanes[kRegisters];
  for (V& lane : lanes) lane = splat(start);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int r = 0; r < kRegisters; ++r) lanes[r] = step(i + r * kWidth, Full{}, lanes[r]);
  }
  int r = 0;
  for (; i + kWidth <= n; i += kWidth, ++r) lanes[r] = step(i, Full{}, lanes[r]);
  if (i < n) lanes[r] = step(i, Tail(static_cast<int>(n - i)), lanes[r]);
  return fold(lanes, join);
}

template <class Step>
inline float reduce_sum(int64_t n, Step step) {
  return reduce(n, 0.0f, step, Plus{});
}
