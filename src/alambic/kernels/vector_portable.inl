// What vec.inl needs besides fma(), in plain C++ for any kWidth.

using Vector = float __attribute__((vector_size(4 * kWidth)));

inline Vector sqrt(Vector v) {
  for (int i = 0; i < kWidth; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
}

struct Tail {
  explicit Tail(int n) : count(n) {}
  int count;
};
inline Vector load(const float* p, Tail tail) {
  Vector v{};
  for (int i = 0; i < tail.count; ++i) v[i] = p[i];
  return v;
}
inline Vector load_pairs(const uint16_t* p, Tail tail) {
  Vector v{};
  for (int i = 0; i < tail.count; ++i) {
    float pair;
    __builtin_memcpy(&pair, p + 2 * i, sizeof pair);
    v[i] = pair;
  }
  return v;
}
inline Vector widened(const uint16_t* p) {
  using Halves = uint16_t __attribute__((vector_size(2 * kWidth), aligned(2), may_alias));
  using Words = uint32_t __attribute__((vector_size(4 * kWidth)));
  const Halves halves = *reinterpret_cast<const Halves*>(p);
  return reinterpret_cast<Vector>(__builtin_convertvector(halves, Words) << 16);
}
inline void store(float* p, Vector v, Tail tail) {
  for (int i = 0; i < tail.count; ++i) p[i] = v[i];
}
inline Vector keep(Vector v, Vector otherwise, Tail tail) {
  for (int i = tail.count; i < kWidth; ++i) v[i] = otherwise[i];
  return v;
}
