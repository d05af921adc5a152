#include "alambic/tensor/tensor.h"

#include <gtest/gtest.h>

#include "alambic/base/error.h"
#include "alambic/tensor/storage.h"

namespace alambic {
namespace {

TEST(Tensor, CopiesShareStorageAndClonesDoNot) {
  Tensor a = Tensor::from({2, 2}, std::vector<float>{1, 2, 3, 4});
  Tensor shared = a, own = a.clone();
  a.data()[0] = 9;
  EXPECT_EQ(shared.data()[0], 9);
  EXPECT_EQ(own.data()[0], 1);
}

TEST(Tensor, RowsAreTheProductOfAllButTheLastDimension) {
  const Tensor t = Tensor::zeros({2, 3, 4});
  EXPECT_EQ(t.rows(), 6);
  EXPECT_EQ(t.cols(), 4);
  EXPECT_EQ(t.row(5), t.data() + 20);
  EXPECT_EQ(Tensor::zeros({0, 4}).rows(), 0);
  EXPECT_EQ(Tensor::zeros({4, 0}).rows(), 0);
}

TEST(Tensor, AnImpossibleShapeIsAnErrorNotAnAllocation) {
  const int64_t live = memory_use().live;
  const int64_t huge = int64_t{1} << 40;
  try {
    Tensor::empty({huge, huge});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
  }
  EXPECT_EQ(memory_use().live, live);
}

TEST(Tensor, ARefusedAllocationIsAnErrorAndIsNotCountedAsLive) {
  const int64_t live = memory_use().live;
  EXPECT_THROW(Tensor::empty({int64_t{1} << 47}),
               Error);  // half a petabyte: beyond the address space
  EXPECT_EQ(memory_use().live, live);
}

TEST(Tensor, FreedBlocksAreReused) {
  const std::byte* first = nullptr;
  {
    const Tensor t = Tensor::empty({123, 457});
    first = t.raw();
  }
  const Tensor again = Tensor::empty({123, 457});
  EXPECT_EQ(again.raw(), first);
}

TEST(Tensor, ATensorsGradientSinkSaysWhetherToAdd) {
  Tensor t = Tensor::zeros({3});
  EXPECT_FALSE(t.grad_sink().accumulate);
  EXPECT_TRUE(t.grad_sink().accumulate);
  EXPECT_EQ(t.grad_sink().data, t.grad().data());
}

}  // namespace
}  // namespace alambic
