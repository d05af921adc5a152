// Quantised products for the AVX-512 table of CPUs with VNNI. Standard headers come before the
// target region, so that their inline functions stay at the build's base architecture.
#include <immintrin.h>

#include <cstring>
#include <type_traits>

#include "alambic/kernels/tables.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")
// g++ 12 reports its own intrinsics' undefined operands.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace alambic::kernels {
namespace {
namespace vnni {

#include "alambic/kernels/vector_avx512.inl"
//
#include "alambic/kernels/vec.inl"
//
#include "alambic/kernels/quantized_wide.inl"
//
#include "alambic/kernels/vnni.inl"

}  // namespace vnni
}  // namespace
}  // namespace alambic::kernels

#pragma GCC diagnostic pop
#pragma GCC pop_options

namespace alambic::kernels {

void use_vnni(KernelTable& table) { vnni::use_wide_quantized<vnni::HardwareDot>(table); }

}  // namespace alambic::kernels
