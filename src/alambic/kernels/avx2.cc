// The AVX2 + FMA table. Standard headers come before the target region, so that their inline
// functions stay at the build's base architecture.
#include <immintrin.h>

#include <cstring>
#include <type_traits>
#include <utility>

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
inline Vector load_pairs(const uint16_t* p, Tail tail) {
  return _mm256_castsi256_ps(_mm256_maskload_epi32(reinterpret_cast<const int*>(p), tail.mask));
}
// Of a conversion between vectors g++ 12 makes five instructions.
inline Vector widened(const uint16_t* p) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
inline void store(float* p, Vector v, Tail tail) { _mm256_maskstore_ps(p, tail.mask, v); }
inline Vector keep(Vector v, Vector otherwise, Tail tail) {
  return _mm256_blendv_ps(otherwise, v, _mm256_castsi256_ps(tail.mask));
}

#include "alambic/kernels/vec.inl"
//
#include "alambic/kernels/rowwise.inl"
//
#include "alambic/kernels/columns.inl"
//
#include "alambic/kernels/gemm.inl"
//
#include "alambic/kernels/quantized.inl"
//
#include "alambic/kernels/quantized_avx2.inl"
//
#include "alambic/kernels/pack.inl"
//
#include "alambic/kernels/bursts.inl"

// The three-instruction form of an 8-bit dot product: pairs to 16 bits, pairs to 32 bits, add.
float int8_burst(int64_t rounds) noexcept {
  constexpr int kChains = 8;
  __m256i sum[kChains] = {};
  __m256i a = _mm256_set1_epi8(3), b = a;
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t round = 0; round < rounds; ++round) {
    for (__m256i& chain : sum) {
      // Makes the operand look new, or the product would leave the loop.
      asm volatile("" : "+x"(a));
      chain = _mm256_add_epi32(chain, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
    }
  }
  for (int i = 1; i < kChains; ++i) sum[0] = _mm256_add_epi32(sum[0], sum[i]);
  return static_cast<float>(_mm256_extract_epi32(sum[0], 0));
}
constexpr double kInt8OpsPerRound = 8.0 * 32.0 * 2.0;

}  // namespace avx2
}  // namespace

#pragma GCC pop_options

KernelTable avx2_table() {
  KernelTable table = avx2::region_table(Isa::kAvx2);
  table.multiply_quantized[0] = avx2::multiply_quantized_avx2<WeightFormat::kInt8>;
  table.multiply_quantized[1] = avx2::multiply_quantized_avx2<WeightFormat::kInt4>;
  return table;
}

Bursts avx2_bursts() {
  using namespace avx2;
  const Burst fp32{fp32_burst, kFp32OpsPerRound};
  return {fp32, fp32, {int8_burst, kInt8OpsPerRound}, read_burst};
}

}  // namespace alambic::kernels
