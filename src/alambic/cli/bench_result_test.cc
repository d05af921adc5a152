#include "alambic/cli/bench_result.h"

#include <gtest/gtest.h>

#include "alambic/cli/bench_table.h"

namespace alambic {
namespace {

BenchResult example() {
  BenchResult result;
  result.date = "2026-01-02 03:04 UTC", result.version = "1.2.3";
  result.cpu = "some CPU", result.isa = "avx2", result.threads = 2;
  result.ceilings = {200e9, 100e9, 400e9, 20e9};
  result.ceilings_differ = 0.05;
  Measurement m;
  m.what = "generate", m.shape = "S", m.dtype = "int8", m.kernels = "avx2", m.tokens = 128;
  m.tokens_per_s = 600, m.flops = 20e9, m.read_bytes_per_s = 10e9, m.peak_rss_bytes = 1 << 20;
  result.figures = {figure_of(m, result.ceilings)};
  return result;
}

TEST(BenchResult, SharesAreOfTheCeilingThatBoundsTheWork) {
  const Ceilings ceilings{200e9, 100e9, 400e9, 20e9};
  Measurement m;
  m.flops = 50e9;
  const auto share = [&](const char* dtype) {
    m.dtype = dtype;
    return figure_of(m, ceilings).share;
  };
  EXPECT_DOUBLE_EQ(share("bf16"), 0.25);
  EXPECT_DOUBLE_EQ(share("fp32"), 0.5);
  EXPECT_DOUBLE_EQ(share("int8"), 0.125);
  EXPECT_DOUBLE_EQ(share("int4"), 0.125);
  EXPECT_EQ(figure_of(m, ceilings).peak, "products");
  m.read_bytes_per_s = 15e9;
  EXPECT_DOUBLE_EQ(share("int4"), 0.75);
  EXPECT_EQ(figure_of(m, ceilings).peak, "reads");
}

TEST(BenchResult, OfTwoCeilingsTheHigherStands) {
  const CeilingsOfTables before{{"avx2", {100, 50, 10, 8}}}, after{{"avx2", {80, 60, 10, 8}}};
  const Ceilings higher = higher_of(before, after).at("avx2");
  EXPECT_EQ(higher.product_flops, 100);
  EXPECT_EQ(higher.fp32_flops, 60);
  EXPECT_DOUBLE_EQ(largest_difference(before, after), 0.2);
}

TEST(BenchResult, IsReadAsItWasWritten) {
  const OrderedJson json = to_json(example());
  EXPECT_EQ(to_json(bench_result_from_json(parse_json(dump_json(json), "f"), "f")), json);
}

TEST(BenchResult, HostileFilesAreNamedInOneLine) {
  const auto refused = [](const char* pointer, const Json& value) {
    Json json = parse_json(dump_json(to_json(example())), "f");
    json[Json::json_pointer(pointer)] = value;
    try {
      bench_result_from_json(json, "file.json");
    } catch (const Error& error) {
      return error.code() == ErrorCode::kCorruptData &&
             std::string(error.what()).starts_with("[file.json]");
    }
    return false;
  };
  EXPECT_TRUE(refused("/machine", 3));
  EXPECT_TRUE(refused("/machine/threads", "two"));
  EXPECT_TRUE(refused("/machine/fp32_flops", 0));
  EXPECT_TRUE(refused("/results", "none"));
  EXPECT_TRUE(refused("/results/0", Json::array()));
  EXPECT_TRUE(refused("/results/0/peak_fraction", 0));
  EXPECT_TRUE(refused("/results/0/tokens_per_s", -1));
  EXPECT_TRUE(refused("/results/0/shape", "\x1b[2J"));
  EXPECT_TRUE(refused("/date", "a\nb"));
}

TEST(BenchTable, MarksWhatFellAndABusyMachine) {
  const BenchResult old = example();
  EXPECT_EQ(bench_table(old, nullptr).find("busy"), std::string::npos);
  BenchResult now = old;
  now.ceilings_differ = 0.3;
  now.figures[0].share *= 0.5;
  const std::string text = bench_table(now, &old);
  EXPECT_NE(text.find("differ by 30 %"), std::string::npos) << text;
  EXPECT_NE(text.find("0.50 x"), std::string::npos) << text;
  EXPECT_NE(text.find("regression"), std::string::npos) << text;
}

TEST(BenchTable, PutsOnednnBesideTheSameProduct) {
  BenchResult result = example();
  result.figures[0].measurement.what = "product";
  result.figures.push_back(result.figures[0]);
  result.figures[1].measurement.kernels = "onednn";
  result.figures[1].measurement.flops /= 2;
  const std::string text = bench_table(result, nullptr);
  EXPECT_NE(text.find("2.00 x"), std::string::npos) << text;
}

}  // namespace
}  // namespace alambic
