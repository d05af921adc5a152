// What vec.inl needs, on AVX-512: shared by the AVX-512 and AMX regions.

constexpr int kWidth = 16;

using Vector = float __attribute__((vector_size(4 * kWidth)));
inline Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
inline Vector sqrt(Vector v) { return _mm512_sqrt_ps(v); }

struct Tail {
  explicit Tail(int n) : mask(static_cast<__mmask16>((1u << n) - 1u)) {}
  __mmask16 mask;
};
inline Vector load(const float* p, Tail tail) { return _mm512_maskz_loadu_ps(tail.mask, p); }
inline Vector load_pairs(const uint16_t* p, Tail tail) {
  return _mm512_maskz_loadu_ps(tail.mask, p);
}
inline Vector widened(const uint16_t* p) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
inline void store(float* p, Vector v, Tail tail) { _mm512_mask_storeu_ps(p, tail.mask, v); }
inline Vector keep(Vector v, Vector otherwise, Tail tail) {
  return _mm512_mask_blend_ps(tail.mask, otherwise, v);
}
