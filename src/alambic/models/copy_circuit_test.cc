#include "alambic/models/copy_circuit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "alambic/models/test_models.h"
#include "alambic/models/transformer.h"

namespace alambic {
namespace {

ModelConfig small(int layers, int heads, int kv_heads) {
  ModelConfig config;
  config.vocab_size = 600;
  config.dim = 96;
  config.layers = layers;
  config.heads = heads;
  config.kv_heads = kv_heads;
  config.head_dim = 96 / heads;
  config.ffn = 192;
  return config;
}

// Fresh models read random texts twice. Returns how far, on average over the second readings, the
// logit of the token that comes next stands above the mean of all, in standard deviations of a row.
double foresight(const ModelConfig& config) {
  constexpr int kModels = 8, kText = 60, kRows = 2 * kText;
  double sum = 0;
  for (uint64_t seed = 1; seed <= kModels; ++seed) {
    Transformer model(config);
    model.initialise(seed);
    std::vector<TokenId> tokens = random_tokens(kText, config.vocab_size, seed);
    tokens.insert(tokens.end(), tokens.begin(), tokens.begin() + kText);
    const Tensor logits =
        model.logits(model.hidden(tokens, {.groups = {{kRows, 0}}}), Precision::kFp32);
    for (int64_t i = kText; i + 1 < kRows; ++i) {
      const std::span<const float> row(logits.row(i), static_cast<size_t>(config.vocab_size));
      double mean = 0, square = 0;
      for (const float x : row) mean += x / config.vocab_size;
      for (const float x : row) square += (x - mean) * (x - mean) / config.vocab_size;
      sum +=
          (row[static_cast<size_t>(tokens[static_cast<size_t>(i) + 1])] - mean) / std::sqrt(square);
    }
  }
  return sum / (kModels * (kText - 1));
}

TEST(CopyCircuit, AnUntrainedModelExpectsWhatItReadBefore) {
  EXPECT_GT(foresight(small(2, 4, 4)), 0.1);
  EXPECT_GT(foresight(small(5, 4, 2)), 0.1);
  EXPECT_GT(foresight(small(3, 3, 1)), 0.1);
}

TEST(CopyCircuit, OneLayerCannot) {
  EXPECT_EQ(copy_heads(small(1, 4, 4)), 0);
  EXPECT_LT(foresight(small(1, 4, 4)), 0.1);
}

TEST(CopyCircuit, TakesNoMoreHeadsThanTheWidthHolds) {
  EXPECT_EQ(copy_heads(small(4, 4, 4)), 2);
  EXPECT_EQ(copy_heads(small(4, 3, 3)), 1);
  EXPECT_EQ(copy_heads(small(4, 1, 1)), 0);
  EXPECT_EQ(copy_heads(small(4, 8, 8)), 2);
  EXPECT_EQ(copy_heads(small(4, 8, 1)), 1);
}

}  // namespace
}  // namespace alambic
