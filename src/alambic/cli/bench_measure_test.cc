#include "alambic/cli/bench_measure.h"

#include <gtest/gtest.h>

namespace alambic {
namespace {

TEST(BenchShapes, HaveTheirPublishedSizes) {
  // 15.2 M: llama2.c's stories15M; 134.5 M: SmolLM-135M.
  EXPECT_NEAR(static_cast<double>(bench_shape("S").config.parameters()), 15.2e6, 0.05e6);
  EXPECT_NEAR(static_cast<double>(bench_shape("M").config.parameters()), 134.5e6, 0.1e6);
  for (const char* name : {"S", "M", "L", "tiny"}) validate(bench_shape(name).config, name);
  EXPECT_THROW(bench_shape("XXL"), Error);
}

TEST(BenchMeasure, EveryPartYieldsRatesAndMemory) {
  for (const std::string& part : bench_parts()) {
    const auto measurements = measure_part(part, bench_shape("tiny"), Precision::kFp32, true);
    ASSERT_FALSE(measurements.empty()) << part;
    for (const Measurement& m : measurements) {
      EXPECT_EQ(m.what, part);
      EXPECT_GT(m.tokens_per_s, 0) << part;
      EXPECT_GT(m.flops, 0) << part;
      EXPECT_GT(m.peak_rss_bytes, 1 << 20) << part;
    }
  }
  EXPECT_THROW(measure_part("brew", bench_shape("tiny"), Precision::kFp32, true), Error);
}

TEST(BenchMeasure, SurvivesTheWayBetweenProcesses) {
  Measurement m;
  m.what = "train", m.shape = "S", m.dtype = "bf16", m.batch = 8, m.tokens = 2048;
  m.tokens_per_s = 8000.5, m.flops = 1e12, m.read_bytes_per_s = 0.25, m.peak_rss_bytes = 1 << 30;
  const OrderedJson json = to_json(m);
  EXPECT_EQ(to_json(measurement_from_json(parse_json(dump_json(json), "test"), "test")), json);
  EXPECT_THROW(measurement_from_json(Json::object(), "test"), Error);
}

TEST(BenchMeasure, DraftsNeedAMask) {
  BenchShape shape = bench_shape("tiny");
  EXPECT_TRUE(can_measure("train_hybrid", shape));
  shape.config.mask = -1;
  EXPECT_FALSE(can_measure("train_hybrid", shape));
  EXPECT_TRUE(can_measure("train", shape));
}

}  // namespace
}  // namespace alambic
