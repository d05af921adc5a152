// How the ops meet weights that exist in quantised form, embeddings in bf16, and who watches.
#include <gtest/gtest.h>

#include <cstring>

#include "alambic/autograd/input_watch.h"
#include "alambic/autograd/ops.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

Tensor normal_values(Shape shape, uint64_t seed) {
  Tensor t = Tensor::empty(std::move(shape));
  Rng rng(seed);
  for (float& x : t.values()) x = static_cast<float>(rng.normal());
  return t;
}

Tensor in_int8_only(const Tensor& w) {
  Tensor handle = Tensor::unstored(w.shape());
  handle.set_packed(
      std::make_shared<PackedMatrix>(QuantizedMatrix::rounded(WeightFormat::kInt8, w)));
  return handle;
}

// The gradient of the input is that of the dequantised weights: the same product, hence the bits.
TEST(QuantisedWeights, PassGradientsToTheirInputs) {
  const Tensor w = normal_values({7, 70}, 1), quantized = in_int8_only(w);
  const auto gradient = [](const Tensor& weight) {
    Tensor x = normal_values({3, 70}, 2);
    x.set_requires_grad(true);
    linear(x, {weight}, Precision::kFp32).node()->backward(normal_values({3, 7}, 3));
    return x.grad().clone();
  };
  const Tensor got = gradient(quantized);
  const Tensor want = gradient(quantized.packed()->quantized()->dequantized());
  EXPECT_EQ(0, std::memcmp(got.data(), want.data(), static_cast<size_t>(want.size()) * 4));
}

TEST(Embedding, LooksUpTablesInBf16) {
  const Tensor table = normal_values({9, 13}, 4);
  Tensor halves = Tensor::empty({9, 13}, DType::kBf16), rounded = Tensor::empty({9, 13});
  auto* bits = reinterpret_cast<uint16_t*>(halves.raw());
  kernels::kernels().to_bf16(table.data(), table.size(), bits);
  kernels::kernels().from_bf16(bits, table.size(), rounded.data());
  const std::vector<TokenId> ids = {8, 0, 3, 3};
  const Tensor got = embedding(halves, ids), want = embedding(rounded, ids);
  EXPECT_EQ(0, std::memcmp(got.data(), want.data(), static_cast<size_t>(want.size()) * 4));
}

TEST(InputWatch, SeesWhatEveryProductIsMadeOf) {
  const Tensor x = normal_values({3, 6}, 5), gate = normal_values({8, 6}, 6),
               up = normal_values({8, 6}, 7), down = normal_values({6, 8}, 8),
               norm = normal_values({6}, 10);
  constexpr float kEps = 1e-5F;
  std::vector<std::pair<Tensor, Tensor>> seen;
  {
    const InputWatch watch(
        [&](const Tensor& w, const Tensor& rows) { seen.emplace_back(w, rows); });
    gated_mlp(linear(x, {normal_values({6, 6}, 9)}, Precision::kFp32),
              {{norm, {}, kEps}, {gate}, {up}, {down}}, Precision::kFp32);
    const LinearWeights both[] = {{gate}, {up}};
    norm_linear(x, {norm, {}, kEps}, both, Precision::kFp32);
  }
  linear(x, {gate}, Precision::kFp32);  // nobody watches any more
  ASSERT_EQ(seen.size(), 6U);
  EXPECT_TRUE(seen[0].second.same_as(x));
  EXPECT_TRUE(seen[1].first.same_as(gate) && seen[2].first.same_as(up));
  EXPECT_TRUE(seen[1].second.same_as(seen[2].second));
  EXPECT_TRUE(seen[3].first.same_as(down));
  EXPECT_EQ(seen[3].second.cols(), 8);
  EXPECT_TRUE(seen[4].first.same_as(gate) && seen[5].first.same_as(up));
  const Tensor normed = norm_rows(x, {norm, {}, kEps});
  EXPECT_EQ(0, std::memcmp(seen[4].second.data(), normed.data(),
                           static_cast<size_t>(normed.size()) * sizeof(float)));
}

}  // namespace
}  // namespace alambic
