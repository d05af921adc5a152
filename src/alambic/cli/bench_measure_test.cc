#include "alambic/cli/bench_measure.h"

#include <gtest/gtest.h>

namespace alambic {
namespace {

TEST(BenchShapes, HaveTheirPublishedSizes) {
  // 15.2 M: llama2.c's stories15M; 134.5 M: SmolLM-135M; 494 M: Qwen2-0.5B, whose projections have
  // biases too.
  EXPECT_NEAR(static_cast<double>(bench_shape("S").config.parameters()), 15.2e6, 0.05e6);
  EXPECT_NEAR(static_cast<double>(bench_shape("M").config.parameters()), 134.5e6, 0.1e6);
  EXPECT_NEAR(static_cast<double>(bench_shape("L").config.parameters()), 494e6, 1e6);
  EXPECT_EQ(bench_shape("L").config.head_dim, 64);
  for (const char* name : {"S", "M", "L", "tiny"}) validate(bench_shape(name).config, name);
  EXPECT_THROW(bench_shape("XXL"), Error);
}

TEST(BenchMeasure, EveryPartYieldsRatesAndMemoryInEveryDtype) {
  const BenchShape tiny = bench_shape("tiny");
  for (const std::string& part : bench_parts()) {
    for (const std::string& dtype : bench_dtypes()) {
      if (!can_measure(part, tiny, dtype)) continue;
      const auto measurements = measure_part(part, tiny, dtype, true);
      ASSERT_FALSE(measurements.empty()) << part;
      for (const Measurement& m : measurements) {
        EXPECT_EQ(m.what, part);
        EXPECT_EQ(m.dtype, dtype);
        EXPECT_FALSE(m.kernels.empty());
        EXPECT_GT(m.tokens_per_s, 0) << part;
        EXPECT_GT(m.flops, 0) << part;
        EXPECT_GT(m.peak_rss_bytes, 1 << 20) << part;
      }
    }
  }
  EXPECT_THROW(measure_part("brew", tiny, "fp32", true), Error);
  EXPECT_THROW(measure_part("prompt", tiny, "fp8", true), Error);
}

TEST(BenchMeasure, EveryStreamOfABatchWritesAllItsTokens) {
  const BenchShape tiny = bench_shape("tiny");
  const auto measurements = measure_part("batch", tiny, "bf16", true);
  ASSERT_EQ(measurements.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    const Measurement& m = measurements[i];
    EXPECT_EQ(m.batch, std::vector({1, 4, 16, 64})[i]);
    EXPECT_EQ(m.tokens, int64_t{m.batch} * tiny.generate_tokens);
    EXPECT_EQ(m.read_bytes_per_s > 0, m.batch == 1);
  }
}

TEST(BenchMeasure, ModelsOfFewPositionsAreMeasuredToo) {
  BenchShape shape = bench_shape("tiny");
  shape.config.max_positions = 24;
  for (const char* part : {"generate", "batch"}) {
    for (const Measurement& m : measure_part(part, shape, "fp32", true)) {
      EXPECT_EQ(m.tokens, int64_t{m.batch} * shape.generate_tokens) << part;
    }
  }
}

TEST(BenchMeasure, SurvivesTheWayBetweenProcesses) {
  Measurement m;
  m.what = "train", m.shape = "S", m.dtype = "bf16", m.kernels = "avx2", m.batch = 8;
  m.tokens = 2048, m.tokens_per_s = 8000.5, m.flops = 1e12, m.read_bytes_per_s = 0.25;
  m.peak_rss_bytes = 1 << 30;
  const OrderedJson json = to_json(m);
  EXPECT_EQ(to_json(measurement_from_json(parse_json(dump_json(json), "test"), "test")), json);
  EXPECT_THROW(measurement_from_json(Json::object(), "test"), Error);
}

TEST(BenchMeasure, TrainingNeedsFloatsAndDraftsNeedAMask) {
  BenchShape shape = bench_shape("tiny");
  EXPECT_TRUE(can_measure("train_hybrid", shape, "bf16"));
  EXPECT_FALSE(can_measure("train", shape, "int8"));
  EXPECT_TRUE(can_measure("generate", shape, "int8"));
  shape.config.mask = -1;
  EXPECT_FALSE(can_measure("train_hybrid", shape, "bf16"));
  EXPECT_TRUE(can_measure("train", shape, "bf16"));
  shape.stored = WeightFormat::kInt8;
  EXPECT_FALSE(can_measure("train", shape, "bf16"));
}

}  // namespace
}  // namespace alambic
