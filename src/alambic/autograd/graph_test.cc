#include "alambic/autograd/graph.h"

#include <gtest/gtest.h>

#include <cmath>

#include "alambic/autograd/op_cases.h"
#include "alambic/autograd/ops.h"

namespace alambic {
namespace {

Tensor leaf(std::vector<float> values) {
  Tensor t = Tensor::from({1, static_cast<int64_t>(values.size())}, values);
  t.set_requires_grad(true);
  return t;
}

TEST(Graph, AnInputUsedTwiceCollectsBothGradients) {
  const Tensor x = leaf({1, 2});
  const Tensor y = add(x, x);
  backward(weighted_sum(add(y, x), Tensor::from({1, 2}, std::vector<float>{5, 7})));
  EXPECT_EQ(x.grad().data()[0], 15);
  EXPECT_EQ(x.grad().data()[1], 21);
}

TEST(Graph, NothingIsRecordedWithoutATrainableInputOrUnderNoGrad) {
  const Tensor frozen = Tensor::from({1, 2}, std::vector<float>{1, 2});
  EXPECT_FALSE(add(frozen, frozen).requires_grad());
  const Tensor x = leaf({1, 2});
  {
    const NoGrad off;
    EXPECT_FALSE(add(x, frozen).requires_grad());
  }
  EXPECT_TRUE(add(x, frozen).requires_grad());
}

TEST(Graph, AFrozenInputGetsNoGradient) {
  const Tensor x = leaf({1, 2}), frozen = Tensor::from({1, 2}, std::vector<float>{3, 4});
  backward(weighted_sum(add(x, frozen), frozen));
  EXPECT_TRUE(x.grad().defined());
  EXPECT_FALSE(frozen.grad().defined());
}

// A chain far deeper than any stack, freed without recursion as the pass goes.
TEST(Graph, DeepGraphsNeitherOverflowNorKeepTheirTensors) {
  const Tensor x = leaf({1});
  const int64_t live = memory_use().live;
  {
    Tensor y = x;
    for (int i = 0; i < 20000; ++i) y = add(y, x);
    backward(weighted_sum(y, Tensor::from({1, 1}, std::vector<float>{1})));
  }
  EXPECT_EQ(x.grad().data()[0], 20001);
  EXPECT_LE(memory_use().live - live, 1024);
}

TEST(Dropout, DropsItsShareAndKeepsTheMean) {
  Tensor ones = Tensor::empty({1000, 301});
  std::fill_n(ones.data(), ones.size(), 1.0F);
  const Tensor out = dropout(ones, 0.25, 7);
  double dropped = 0, sum = 0;
  for (const float x : out.values()) {
    dropped += x == 0 ? 1 : 0;
    sum += double{x};
  }
  const auto n = static_cast<double>(out.size());  // standard error of the share: 0.0008
  EXPECT_NEAR(dropped / n, 0.25, 0.004);
  EXPECT_NEAR(sum / n, 1, 0.006);
  EXPECT_TRUE(dropout(ones, 0, 7).same_as(ones));
}

}  // namespace
}  // namespace alambic
