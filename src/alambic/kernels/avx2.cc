// The AVX2 + FMA table. Standard headers come before the target region, so that their inline
// functions stay at the build's base architecture.
#include <immintrin.h>

#include <cstring>

#include "alambic/kernels/tables.h"

#pragma GCC push_options
#pragma GCC target("avx2,fma")

namespace alambic::kernels {
namespace {
namespace avx2 {

constexpr int kWidth = 8;
constexpr int kMr = 6;

using Vector = float __attribute__((vector_size(4 * kWidth)));
inline Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
inline Vector sqrt(Vector v) { return _mm256_sqrt_ps(v); }

struct Tail {
  explicit Tail(int n)
      : mask(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))) {}
  __m256i mask;
};
inline Vector load(const float* p, Tail tail) { return _mm256_maskload_ps(p, tail.mask); }
inline void store(float* p, Vector v, Tail tail) { _mm256_maskstore_ps(p, tail.mask, v); }
inline Vector keep(Vector v, Vector otherwise, Tail tail) {
  return _mm256_blendv_ps(otherwise, v, _mm256_castsi256_ps(tail.mask));
}

#include "alambic/kernels/vec.inl"
//
#include "alambic/kernels/rowwise.inl"
//
#include "alambic/kernels/gemm.inl"
//
#include "alambic/kernels/pack.inl"

}  // namespace avx2
}  // namespace

KernelTable avx2_table() { return avx2::region_table(Isa::kAvx2); }

}  // namespace alambic::kernels

#pragma GCC pop_options
