#include <gtest/gtest.h>

#include <string>

#include "alambic/base/error.h"
#include "alambic/kernels/table.h"

namespace alambic::kernels {
namespace {

TEST(DispatchTest, TablesRunFromScalarToBest) {
  const auto tables = supported_kernels();
  ASSERT_FALSE(tables.empty());
  EXPECT_EQ(tables.front().isa, Isa::kScalar);
  for (size_t i = 1; i < tables.size(); ++i) EXPECT_LT(tables[i - 1].isa, tables[i].isa);
}

TEST(DispatchTest, TheTableInUseCanBeReplaced) {
  const Isa before = kernels().isa;
  for (const KernelTable& table : supported_kernels()) {
    use_kernels(table.isa);
    EXPECT_EQ(kernels().isa, table.isa);
  }
  use_kernels(before);
}

TEST(DispatchTest, AnAbsentTableIsRefusedAndThePresentOnesAreNamed) {
  const auto tables = supported_kernels();
  if (tables.back().isa == Isa::kAmx) GTEST_SKIP() << "this CPU runs every table";
  try {
    use_kernels(Isa::kAmx);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find("want one of scalar"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace alambic::kernels
