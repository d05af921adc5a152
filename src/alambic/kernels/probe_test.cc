#include "alambic/kernels/probe.h"

#include <gtest/gtest.h>

#include <vector>

namespace alambic::kernels {
namespace {

TEST(ProbeTest, CeilingsArePlausibleForEveryTable) {
  const std::vector<std::byte> buffer(1 << 20, std::byte{1});
  for (const KernelTable& table : supported_kernels()) {
    SCOPED_TRACE(isa_name(table.isa));
    // From a slow emulator to a core nobody has built yet.
    for (double rate : {fp32_peak_flops(table.isa, 3), product_peak_flops(table.isa, 3),
                        int8_peak_ops(table.isa, 3), read_bytes_per_second(table.isa, buffer, 3)}) {
      EXPECT_GT(rate, 1e6);
      EXPECT_LT(rate, 1e14);
    }
  }
}

TEST(ProbeTest, EmptyBufferReadsNothing) {
  EXPECT_EQ(read_bytes_per_second(Isa::kScalar, {}, 0), 0.0);
}

}  // namespace
}  // namespace alambic::kernels
