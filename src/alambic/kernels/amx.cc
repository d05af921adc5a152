// The AMX table: AVX-512's, with bf16 and quantised products on tiles. Standard headers come before
// the target region, so that their inline functions stay at the build's base architecture.
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <type_traits>
#include <utility>

#include "alambic/kernels/tables.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni,avx2,fma")
// g++ 12 reports its own intrinsics' undefined operands.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace alambic::kernels {
namespace {
namespace amx {

#include "alambic/kernels/vector_avx512.inl"
//
#include "alambic/kernels/vec.inl"
//
#include "alambic/kernels/amx.inl"
//
#include "alambic/kernels/quantized_wide.inl"
//
#include "alambic/kernels/quantized_amx.inl"
//
#include "alambic/kernels/vnni.inl"

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);
constexpr TileConfig kConfig;

// The tile instructions as asm statements: tile numbers can then be template arguments, and
// LDTILECFG reads all 64 bytes of its operand, of which g++ 12's intrinsic declares only 8.
// Statements that touch memory say so; all are volatile, which keeps their order. No compiled code
// uses tiles on its own.
struct HardwareTiles {
  // Configuration belongs to the thread and other libraries change it, so each product sets its own
  // (about 180 cycles) and leaves the tiles idle, which spares context switches 8 KB.
  static void configure() { asm volatile("ldtilecfg %0" : : "m"(kConfig)); }
  static void release() { asm volatile("tilerelease" : : : "memory"); }

  template <int T>
  static void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(T));
  }
  template <int T, bool kOnce = false>
  static void load(const void* from, int64_t stride) {
    if constexpr (kOnce) {
      asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(T) : "memory");
    } else {
      asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(T) : "memory");
    }
  }
  template <int T>
  static void store(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(T) : "memory");
  }
  template <int C, int A, int B>
  static void dot() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
  }
  template <int C, int A, int B>
  static void dot_int8() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
  }

  // Subnormals become zero here; the product would read them as zero anyway.
  static VU words(V low, V high) { return reinterpret_cast<VU>(_mm512_cvtne2ps_pbh(high, low)); }
};

// Four accumulators: more than enough, as a tile product forwards its sum.
template <bool kInt8>
float tile_burst(int64_t rounds) noexcept {
  alignas(64) float result[16 * 16];
  HardwareTiles::configure();
  HardwareTiles::zero<0>();
  HardwareTiles::zero<1>();
  HardwareTiles::zero<2>();
  HardwareTiles::zero<3>();
  HardwareTiles::zero<4>();
  HardwareTiles::zero<5>();
  HardwareTiles::zero<6>();
  HardwareTiles::zero<7>();
  for (int64_t round = 0; round < rounds; ++round) {
    if constexpr (kInt8) {
      HardwareTiles::dot_int8<0, 4, 6>();
      HardwareTiles::dot_int8<1, 4, 7>();
      HardwareTiles::dot_int8<2, 5, 6>();
      HardwareTiles::dot_int8<3, 5, 7>();
    } else {
      HardwareTiles::dot<0, 4, 6>();
      HardwareTiles::dot<1, 4, 7>();
      HardwareTiles::dot<2, 5, 6>();
      HardwareTiles::dot<3, 5, 7>();
    }
  }
  HardwareTiles::store<0>(result, 64);
  HardwareTiles::release();
  return result[0];
}

}  // namespace amx
}  // namespace
}  // namespace alambic::kernels

#pragma GCC diagnostic pop
#pragma GCC pop_options

namespace alambic::kernels {

KernelTable amx_table() {
  KernelTable table = avx512_table();
  table.isa = Isa::kAmx;
  table.gemm[static_cast<int>(Precision::kBf16)] = amx::amx_gemm<amx::HardwareTiles>();
  amx::use_amx_quantized<amx::HardwareTiles, amx::HardwareDot>(table);
  return table;
}

Bursts amx_bursts() {
  Bursts bursts = avx512_bursts();
  bursts.product = {amx::tile_burst<false>, 4 * 16384.0};
  bursts.int8 = {amx::tile_burst<true>, 4 * 32768.0};
  return bursts;
}

bool request_amx() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // Linux: asm/prctl.h
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace alambic::kernels
