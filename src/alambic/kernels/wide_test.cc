// The 16-lane code of AVX-512 and AMX on the build's base architecture: slow, but every line of its
// logic runs on every machine. The compiler lowers the 64-byte vectors; fma() is exact, so the bits
// are those the wider machine computes.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "alambic/kernels/test_tables.h"

namespace alambic::kernels {
namespace {
namespace wide {

constexpr int kWidth = 16;
// Fewer rows than AVX-512 itself, and fma() out of line, for the sake of compile time.
constexpr int kMr = 5;

#include "alambic/kernels/vector_portable.inl"

__attribute__((noinline)) Vector fma(Vector a, Vector b, Vector c) {
  for (int i = 0; i < kWidth; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return c;
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
#include "alambic/kernels/pack.inl"
//
#include "alambic/kernels/amx.inl"
//
#include "alambic/kernels/quantized_wide.inl"
//
#include "alambic/kernels/quantized_amx.inl"

// Four products of an unsigned and a signed byte onto each lane, as VNNI adds them.
struct EmulatedDot {
  static VS add(VS sum, VU weights, VS values) {
    uint8_t w[4 * kWidth];
    int8_t v[4 * kWidth];
    std::memcpy(w, &weights, sizeof w);
    std::memcpy(v, &values, sizeof v);
    for (int i = 0; i < 4 * kWidth; ++i) sum[i / 4] += w[i] * v[i];
    return sum;
  }
};

// Eight 16 x 64-byte tiles and what the instructions do to them. A bf16 dot product runs the even k
// in one fused chain from zero, the odd k in another, adds the two, and adds that to C; subnormals
// count as zero on the way in and on the way out of every step.
struct EmulatedTiles {
  struct Tile {
    float sums[16][16];
  };
  static inline Tile tiles[8];

  static void configure() {}
  static void release() {}

  template <int T>
  static void zero() {
    tiles[T] = {};
  }
  template <int T, bool kOnce = false>
  static void load(const void* from, int64_t stride) {
    for (int r = 0; r < 16; ++r) {
      std::memcpy(tiles[T].sums[r], static_cast<const std::byte*>(from) + r * stride, 64);
    }
  }
  template <int T>
  static void store(void* to, int64_t stride) {
    for (int r = 0; r < 16; ++r) {
      std::memcpy(static_cast<std::byte*>(to) + r * stride, tiles[T].sums[r], 64);
    }
  }

  static float flushed(float x) {
    return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
  }
  static float item(const Tile& tile, int row, int word) {
    uint16_t half;
    std::memcpy(&half, reinterpret_cast<const std::byte*>(tile.sums[row]) + 2 * word, 2);
    return flushed(float_of(half));
  }
  template <int C, int A, int B>
  static void dot_int8() {
    int8_t a[16][64], b[16][64];
    std::memcpy(a, tiles[A].sums, sizeof a);
    std::memcpy(b, tiles[B].sums, sizeof b);
    for (int r = 0; r < 16; ++r) {
      for (int col = 0; col < 16; ++col) {
        int32_t sum;
        std::memcpy(&sum, &tiles[C].sums[r][col], sizeof sum);
        for (int q = 0; q < 64; ++q) sum += a[r][q] * b[q / 4][4 * col + q % 4];
        std::memcpy(&tiles[C].sums[r][col], &sum, sizeof sum);
      }
    }
  }
  template <int C, int A, int B>
  static void dot() {
    for (int r = 0; r < 16; ++r) {
      for (int col = 0; col < 16; ++col) {
        float even = 0, odd = 0;
        for (int q = 0; q < 16; ++q) {
          even = flushed(std::fma(item(tiles[A], r, 2 * q), item(tiles[B], q, 2 * col), even));
          odd =
              flushed(std::fma(item(tiles[A], r, 2 * q + 1), item(tiles[B], q, 2 * col + 1), odd));
        }
        float& sum = tiles[C].sums[r][col];
        sum = flushed(flushed(sum) + flushed(even + odd));
      }
    }
  }

  static VU words(V low, V high) {
    using Half = uint16_t __attribute__((vector_size(32)));
    const Half halves[2] = {__builtin_convertvector(round_to_bf16<VU>(low) >> 16, Half),
                            __builtin_convertvector(round_to_bf16<VU>(high) >> 16, Half)};
    VU out;
    std::memcpy(&out, halves, sizeof out);
    return out;
  }
};

}  // namespace wide
}  // namespace

const std::vector<NamedTable>& tables_under_test() {
  static const std::vector<NamedTable> tables = [] {
    std::vector<NamedTable> all;
    for (const KernelTable& table : supported_kernels())
      all.push_back({isa_name(table.isa), table});
    KernelTable table = wide::region_table(Isa::kAvx512);
    all.push_back({"portable avx512", table});
    wide::use_wide_quantized<wide::EmulatedDot>(table);
    all.push_back({"emulated vnni", table});
    table.isa = Isa::kAmx;
    wide::use_amx_quantized<wide::EmulatedTiles, wide::EmulatedDot>(table);
    table.gemm[static_cast<int>(Precision::kBf16)] = wide::amx_gemm<wide::EmulatedTiles>();
    all.push_back({"emulated amx", table});
    return all;
  }();
  return tables;
}

}  // namespace alambic::kernels
