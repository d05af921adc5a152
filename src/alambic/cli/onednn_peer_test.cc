#include "alambic/cli/onednn_peer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace alambic {
namespace {

// Small whole numbers: every type holds them and their sums exactly.
std::vector<float> digits(int count, int step) {
  std::vector<float> values(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) values[static_cast<size_t>(i)] = static_cast<float>(i * step % 7);
  return values;
}

TEST(OnednnPeer, MultipliesByTheTransposedWeight) {
  if (!onednn_found()) GTEST_SKIP() << "libdnnl.so.2 is not installed";
  constexpr int kM = 5, kK = 48, kN = 33;
  const std::vector<float> x = digits(kM * kK, 3), w = digits(kN * kK, 5);
  for (const OnednnType type : {OnednnType::kF32, OnednnType::kBf16, OnednnType::kInt8}) {
    const auto product = OnednnProduct::make(type, kM, kK, kN, x.data(), w.data(), 2);
    if (product == nullptr) {  // this CPU has no fast code for the type
      EXPECT_NE(type, OnednnType::kF32);
      continue;
    }
    for (const size_t copy : {0, 1}) {
      product->multiply(copy);
      for (int i = 0; i < kM; ++i) {
        for (int j = 0; j < kN; ++j) {
          float sum = 0;
          for (int p = 0; p < kK; ++p)
            sum += x[static_cast<size_t>(i * kK + p)] * w[static_cast<size_t>(j * kK + p)];
          const int at = i * kN + j;
          const float got =
              type == OnednnType::kInt8
                  ? static_cast<float>(static_cast<const int32_t*>(product->output())[at])
                  : static_cast<const float*>(product->output())[at];
          ASSERT_EQ(got, sum) << static_cast<int>(type) << " " << i << " " << j;
        }
      }
    }
  }
}

}  // namespace
}  // namespace alambic
