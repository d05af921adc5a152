// The portable table: the shared kernels on 4 lanes, which the compiler lowers to whatever the
// build's base architecture has. No fused multiply-add there, so sums differ from the other tables
// in the last bits.
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include "alambic/kernels/tables.h"

namespace alambic::kernels {
namespace {
namespace scalar {

constexpr int kWidth = 4;
constexpr int kMr = 4;

#include "alambic/kernels/vector_portable.inl"

inline Vector fma(Vector a, Vector b, Vector c) { return a * b + c; }

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

// Eight 16-bit products a multiplication: what the base architecture offers for 8-bit weights.
float int8_burst(int64_t rounds) noexcept {
  using Words = uint16_t __attribute__((vector_size(16)));  // wraps quietly
  constexpr int kChains = 8;
  Words sum[kChains] = {};
  Words a = {1, 2, 3, 4, 5, 6, 7, 8}, b = a;
  for (int64_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+x"(a), "+x"(b));
    for (Words& chain : sum) {
      chain += a * b;
      asm volatile("" : "+x"(chain), "+x"(a));
    }
  }
  for (int i = 1; i < kChains; ++i) sum[0] += sum[i];
  return static_cast<float>(sum[0][0]);
}
constexpr double kInt8OpsPerRound = 8.0 * 8.0 * 2.0;

}  // namespace scalar
}  // namespace

KernelTable scalar_table() { return scalar::region_table(Isa::kScalar); }

Bursts scalar_bursts() {
  using namespace scalar;
  const Burst fp32{fp32_burst, kFp32OpsPerRound};
  return {fp32, fp32, {int8_burst, kInt8OpsPerRound}, read_burst};
}

}  // namespace alambic::kernels
