// Predictions against resident peaks that `alambic bench DIRECTORY` measured (docs/performance.md
// has the commands): random weights of the named shapes in BF16 files, quantised by `alambic
// quantize`.
#include "alambic/models/memory_needs.h"

#include <gtest/gtest.h>

namespace alambic {
namespace {

ModelConfig config_of(int dim, int layers, int heads, int kv_heads, int ffn, int vocabulary) {
  ModelConfig c;
  c.dim = dim;
  c.layers = layers;
  c.heads = heads;
  c.kv_heads = kv_heads;
  c.head_dim = dim / heads;
  c.ffn = ffn;
  c.vocab_size = vocabulary;
  return c;
}

const ModelConfig kSmall = config_of(288, 6, 6, 6, 768, 32000);
const ModelConfig kMedium = config_of(576, 30, 9, 3, 1536, 49152);

void expect_within_a_tenth(const MemoryNeeds& needs, double measured_mb, const char* what) {
  EXPECT_NEAR(static_cast<double>(needs.total()) / 1e6, measured_mb, 0.1 * measured_mb) << what;
}

TEST(MemoryNeeds, OfDecodingAreThoseMeasured) {
  const DecodingLoad reading{512, 1}, writing{16, 128};
  struct Case {
    const ModelConfig& config;
    StoredWeights stored;
    Precision precision;
    double reading_mb, writing_mb;
  };
  const Case cases[] = {{kSmall, {}, Precision::kBf16, 82.7, 82.7},
                        {kSmall, {}, Precision::kFp32, 105.8, 101.7},
                        {kSmall, {4, {}}, Precision::kBf16, 90.7, 81.1},
                        {kSmall, {4, {}}, Precision::kFp32, 124.9, 111.8},
                        {kSmall, {2, WeightFormat::kInt8}, Precision::kBf16, 53.7, 32.2},
                        {kSmall, {2, WeightFormat::kInt4}, Precision::kBf16, 45.3, 25.6},
                        {kMedium, {}, Precision::kBf16, 369.5, 344.8},
                        {kMedium, {}, Precision::kFp32, 649.7, 617.8},
                        {kMedium, {2, WeightFormat::kInt8}, Precision::kBf16, 200.1, 155.7},
                        {kMedium, {2, WeightFormat::kInt4}, Precision::kBf16, 140.6, 96.2}};
  for (const Case& c : cases) {
    const std::string what = std::to_string(c.reading_mb);
    expect_within_a_tenth(decoding_needs(c.config, c.stored, c.precision, reading), c.reading_mb,
                          what.c_str());
    expect_within_a_tenth(decoding_needs(c.config, c.stored, c.precision, writing), c.writing_mb,
                          what.c_str());
  }
}

TEST(MemoryNeeds, OfTrainingAreThoseMeasured) {
  expect_within_a_tenth(training_needs(kSmall, Precision::kBf16, 2048), 550.5, "S bf16");
  expect_within_a_tenth(training_needs(kSmall, Precision::kFp32, 2048), 608.3, "S fp32");
  expect_within_a_tenth(training_needs(kMedium, Precision::kBf16, 2048), 3217.6, "M bf16");
  expect_within_a_tenth(training_needs(kMedium, Precision::kFp32, 2048), 3701.1, "M fp32");
  expect_within_a_tenth(training_needs(kMedium, Precision::kBf16, 1024), 2645.5, "M bf16, 4 x 256");
}

TEST(MemoryNeeds, GrowWithWhatIsAskedFor) {
  const StoredWeights stored;
  const auto total = [&](DecodingLoad load, Precision precision) {
    return decoding_needs(kMedium, stored, precision, load).total();
  };
  EXPECT_GT(total({512, 512}, Precision::kBf16), total({512, 128}, Precision::kBf16));
  EXPECT_GT(total({512, 128, 16}, Precision::kBf16), total({512, 128, 1}, Precision::kBf16));
  EXPECT_GT(total({512, 128}, Precision::kFp32), total({512, 128}, Precision::kBf16));
  EXPECT_GT(training_needs(kSmall, Precision::kBf16, 4096).total(),
            training_needs(kSmall, Precision::kBf16, 1024).total());
}

}  // namespace
}  // namespace alambic
