// The portable table: the shared kernels on 4 lanes, which the compiler lowers to whatever the
// build's base architecture has. No fused multiply-add there, so sums differ from the other tables
// in the last bits.
#include <cmath>
#include <cstring>

#include "alambic/kernels/tables.h"

namespace alambic::kernels {
namespace {
namespace scalar {

constexpr int kWidth = 4;
constexpr int kMr = 4;

using Vector = float __attribute__((vector_size(4 * kWidth)));
inline Vector fma(Vector a, Vector b, Vector c) { return a * b + c; }
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

}  // namespace scalar
}  // namespace

KernelTable scalar_table() { return scalar::region_table(Isa::kScalar); }

}  // namespace alambic::kernels
