#include "alambic/kernels/self_check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "alambic/kernels/test_tables.h"

namespace alambic::kernels {
namespace {

TEST(SelfCheckTest, EveryTableAgreesWithThePortableOne) {
  for (const NamedTable& named : tables_under_test()) {
    EXPECT_EQ(first_disagreement(named.table, supported_kernels().front()), "") << named.name;
  }
}

TEST(SelfCheckTest, AWrongEntryIsNamed) {
  const KernelTable& good = supported_kernels().front();
  KernelTable bad = good;
  bad.add = [](const float* a, const float*, int64_t n, float* out) noexcept {
    std::copy(a, a + n, out);
  };
  EXPECT_EQ(first_disagreement(bad, good), "add, axpy, scale");
  bad = good;
  bad.gemm[1].multiply = [](const std::byte*, const std::byte*, int, int, int, float* c, int64_t,
                            bool) noexcept { c[0] = std::nanf(""); };
  EXPECT_EQ(first_disagreement(bad, good), "gemm bf16");
}

}  // namespace
}  // namespace alambic::kernels
