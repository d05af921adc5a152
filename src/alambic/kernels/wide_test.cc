// The 16-lane code of AVX-512 and AMX on the build's base architecture: slow, but every line of its
// logic runs on every machine. The compiler lowers the 64-byte vectors; fma() is exact, so the bits
// are those the wider machine computes.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "alambic/kernels/test_tables.h"

namespace alambic::kernels {
namespace {
namespace wide {

constexpr int kWidth = 16;
constexpr int kMr = 14;

using Vector = float __attribute__((vector_size(4 * kWidth)));
inline Vector fma(Vector a, Vector b, Vector c) {
  for (int i = 0; i < kWidth; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return c;
}
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
inline void store(float* p, Vector v, Tail tail) {
  for (int i = 0; i < tail.count; ++i) p[i] = v[i];
}
inline Vector keep(Vector v, Vector otherwise, Tail tail) {
  for (int i = tail.count; i < kWidth; ++i) v[i] = otherwise[i];
  return v;
}

#include "alambic/kernels/vec.inl"
//
#include "alambic/kernels/rowwise.inl"
//
#include "alambic/kernels/gemm.inl"
//
#include "alambic/kernels/pack.inl"

}  // namespace wide
}  // namespace

const std::vector<NamedTable>& tables_under_test() {
  static const std::vector<NamedTable> tables = [] {
    std::vector<NamedTable> all;
    for (const KernelTable& table : supported_kernels())
      all.push_back({isa_name(table.isa), table});
    all.push_back({"portable avx512", wide::region_table(Isa::kAvx512)});
    return all;
  }();
  return tables;
}

}  // namespace alambic::kernels
