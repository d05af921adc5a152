#include "alambic/cli/bench_products.h"

#include <gtest/gtest.h>

#include <set>

#include "alambic/cli/onednn_peer.h"

namespace alambic {
namespace {

TEST(BenchProducts, EveryTableIsMeasuredAndTheOneInUseComesBack) {
  const kernels::Isa before = kernels::kernels().isa;
  std::set<std::string> tables, expected;
  for (const kernels::Isa isa : measured_isas()) expected.insert(kernels::isa_name(isa));
  if (onednn_found()) expected.insert(kOnednn);
  const auto measurements =
      measure_products(bench_shape("tiny"), bench_dtype("fp32"), /*quick=*/true);
  for (const Measurement& m : measurements) tables.insert(m.kernels);
  EXPECT_EQ(tables, expected);
  EXPECT_EQ(kernels::kernels().isa, before);
}

TEST(BenchProducts, OneRowReadsItsWeights) {
  for (const char* dtype : {"bf16", "int4"}) {
    for (const Measurement& m : measure_products(bench_shape("tiny"), bench_dtype(dtype), true)) {
      EXPECT_EQ(m.read_bytes_per_s > 0, m.tokens == 1) << m.shape;
      if (m.tokens != 1) continue;
      // Two operations a weight of 2 bytes, or of half a byte with its group's scale and zero.
      const double bytes_per_weight = 2 * m.read_bytes_per_s / m.flops;
      EXPECT_NEAR(bytes_per_weight, std::string(dtype) == "bf16" ? 2 : 0.5 + 3.0 / 32, 1e-6);
    }
  }
}

TEST(BenchProducts, ThePortableTableIsMeasuredWhereItIsInUse) {
  const kernels::Isa before = kernels::kernels().isa;
  kernels::use_kernels(kernels::Isa::kScalar);
  EXPECT_EQ(measured_isas().front(), kernels::Isa::kScalar);
  kernels::use_kernels(before);
}

}  // namespace
}  // namespace alambic
