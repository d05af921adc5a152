#include <gtest/gtest.h>

#include <string>
#include <vector>

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
  std::vector<Isa> absent = {static_cast<Isa>(99)};
  for (int isa = 1 + static_cast<int>(supported_kernels().back().isa);
       isa <= static_cast<int>(Isa::kAmx); ++isa) {
    absent.push_back(static_cast<Isa>(isa));
  }
  for (const Isa isa : absent) {
    try {
      use_kernels(isa);
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find("want one of scalar"), std::string::npos)
          << error.what();
    }
  }
}

}  // namespace
}  // namespace alambic::kernels
