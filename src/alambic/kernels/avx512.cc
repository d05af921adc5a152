// The AVX-512 table (F, BW, DQ, VL). Standard headers come before the target region, so that their
// inline functions stay at the build's base architecture.
#include <immintrin.h>

#include <cstring>
#include <type_traits>
#include <utility>

#include "alambic/kernels/tables.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
// g++ 12 reports its own intrinsics' undefined operands.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace alambic::kernels {
namespace {
namespace avx512 {

#include "alambic/kernels/vector_avx512.inl"

// 28 sums and 2 vectors of B leave one register for the broadcast element of A.
constexpr int kMr = 14;

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
#include "alambic/kernels/pack.inl"
//
#include "alambic/kernels/bursts.inl"

// The same three instructions as AVX2 on wider registers.
float int8_burst(int64_t rounds) noexcept {
  constexpr int kChains = 8;
  __m512i sum[kChains] = {};
  __m512i a = _mm512_set1_epi8(3), b = a;
  const __m512i ones = _mm512_set1_epi16(1);
  for (int64_t round = 0; round < rounds; ++round) {
    for (__m512i& chain : sum) {
      // Makes the operand look new, or the product would leave the loop.
      asm volatile("" : "+v"(a));
      chain = _mm512_add_epi32(chain, _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), ones));
    }
  }
  for (int i = 1; i < kChains; ++i) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
  return static_cast<float>(_mm512_cvtsi512_si32(sum[0]));
}

// One instruction for all three where the CPU has VNNI.
__attribute__((target("avx512vnni"))) float vnni_burst(int64_t rounds) noexcept {
  constexpr int kChains = 8;
  __m512i sum[kChains] = {};
  __m512i a = _mm512_set1_epi8(3), b = a;
  for (int64_t round = 0; round < rounds; ++round) {
    for (__m512i& chain : sum) {
      asm volatile("" : "+v"(a));
      chain = _mm512_dpbusd_epi32(chain, a, b);
    }
  }
  for (int i = 1; i < kChains; ++i) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
  return static_cast<float>(_mm512_cvtsi512_si32(sum[0]));
}
constexpr double kInt8OpsPerRound = 8.0 * 64.0 * 2.0;

}  // namespace avx512
}  // namespace
}  // namespace alambic::kernels

#pragma GCC diagnostic pop
#pragma GCC pop_options

namespace alambic::kernels {

KernelTable avx512_table() {
  KernelTable table = avx512::region_table(Isa::kAvx512);
  if (__builtin_cpu_supports("avx512vnni")) {
    use_vnni(table);
  } else {
    const KernelTable below = avx2_table();
    for (int format : {0, 1}) table.multiply_quantized[format] = below.multiply_quantized[format];
  }
  return table;
}

Bursts avx512_bursts() {
  using namespace avx512;
  const Burst fp32{fp32_burst, kFp32OpsPerRound};
  const bool vnni = __builtin_cpu_supports("avx512vnni");
  return {fp32, fp32, {vnni ? vnni_burst : int8_burst, kInt8OpsPerRound}, read_burst};
}

}  // namespace alambic::kernels
