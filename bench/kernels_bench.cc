// GFLOP/s of the products on one thread, per table, beside the peak measured just before. On all
// threads and beside oneDNN: `alambic bench --only product`.
//   kernels_bench --benchmark_filter=gemm
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "alambic/base/rng.h"
#include "alambic/kernels/probe.h"
#include "alambic/kernels/table.h"

namespace alambic::kernels {
namespace {

struct Shape {
  int m, n, k;
};
constexpr Shape kShapes[] = {
    {2048, 288, 288},  {2048, 768, 288}, {2048, 1152, 288}, {288, 768, 2048}, {2048, 32000, 288},
    {1024, 1536, 576}, {1, 1536, 576},   {2, 1536, 576},    {4, 1536, 576},   {32, 1536, 576},
    {1, 32000, 576},   {8, 1536, 576},   {16, 1536, 576},   {512, 1536, 576}, {512, 576, 1536}};
constexpr Shape kBlocks[] = {{16, 16, 48},
                             {16, 64, 48},
                             {64, 64, 48},
                             {64, 48, 64},
                             {64, 64, 64},
                             // One step of a few sequences: scores, then values.
                             {1, 128, 64},
                             {3, 256, 64},
                             {9, 100, 64},
                             {1, 64, 256},
                             {3, 64, 256}};

std::string text(const Shape& s) {
  return std::to_string(s.m) + "x" + std::to_string(s.n) + "x" + std::to_string(s.k);
}

std::vector<float> random_floats(size_t n) {
  Rng rng(n);
  std::vector<float> values(n);
  for (float& value : values) value = static_cast<float>(2.0 * rng.uniform() - 1.0);
  return values;
}

// Rates in GFLOP/s, and as a part of the peak.
void report(benchmark::State& state, const Shape& s, double peak) {
  const double flops = 2.0 * s.m * s.n * s.k;
  state.counters["GFLOP/s"] =
      benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["of_peak"] =
      benchmark::Counter(flops / peak, benchmark::Counter::kIsIterationInvariantRate);
}

enum class Part { kMultiply, kWhole };

// kWhole packs both operands each time, B from its transpose, as a training product does.
void gemm_bench(benchmark::State& state, const KernelTable& table, Precision precision, Shape s,
                Part part) {
  const Gemm& gemm = table.gemm[static_cast<int>(precision)];
  const auto a = random_floats(size_t(s.m) * s.k), b = random_floats(size_t(s.k) * s.n);
  const Matrix left{a.data(), Element::kF32, s.k, 1}, right{b.data(), Element::kF32, 1, s.k};
  std::vector<std::byte> panels_a((s.m + gemm.mr - 1) / gemm.mr * gemm.panel_bytes_a(s.k) + 64);
  std::vector<std::byte> panels_b((s.n + gemm.nr - 1) / gemm.nr * gemm.panel_bytes_b(s.k) + 64);
  std::vector<float> c(size_t(s.m) * s.n);
  gemm.pack_a(left, s.m, s.k, panels_a.data());
  gemm.pack_b(right, s.k, s.n, panels_b.data());
  const double peak = precision == Precision::kBf16 ? product_peak_flops(table.isa, 20)
                                                    : fp32_peak_flops(table.isa, 20);
  for (auto _ : state) {
    if (part == Part::kWhole) {
      gemm.pack_a(left, s.m, s.k, panels_a.data());
      gemm.pack_b(right, s.k, s.n, panels_b.data());
    }
    gemm.multiply(panels_a.data(), panels_b.data(), s.m, s.n, s.k, c.data(), s.n, false);
    benchmark::ClobberMemory();
  }
  report(state, s, peak);
}

// Rows are quantised each time, as linear() does. Rates as above, beside fp32's peak.
void quantized_bench(benchmark::State& state, const KernelTable& table, WeightFormat format,
                     Shape s) {
  const int group = group_size(format), groups = (s.k + group - 1) / group;
  const int panels = (s.n + kPanelColumns - 1) / kPanelColumns;
  const auto x = random_floats(size_t(s.m) * s.k);
  std::vector<int8_t> values(size_t(s.m) * groups * group);
  std::vector<float> scales(size_t(s.m) * groups);
  std::vector<int32_t> sums(scales.size());
  const std::vector<std::byte> weights(size_t(panels) * groups * group_bytes(format),
                                       std::byte{0x35});
  const std::vector<uint16_t> bf16(size_t(panels) * groups * kPanelColumns, 0x3c00);
  const std::vector<uint8_t> zeros(bf16.size(), 7);
  std::vector<float> c(size_t(s.m) * s.n);
  const double peak = fp32_peak_flops(table.isa, 20);
  for (auto _ : state) {
    table.quantize_rows(x.data(), s.k, s.m, s.k, group, values.data(), scales.data(), sums.data());
    table.multiply_quantized[static_cast<int>(format)](
        {values.data(), scales.data(), sums.data(), groups},
        {weights.data(), bf16.data(), zeros.data()}, s.m, s.n, c.data(), s.n);
    benchmark::ClobberMemory();
  }
  report(state, s, peak);
}

void small_bench(benchmark::State& state, const KernelTable& table, Shape s, bool transposed,
                 Element element) {
  const auto a = random_floats(size_t(s.m) * s.k), b = random_floats(size_t(s.k) * s.n);
  std::vector<uint16_t> half(b.size());
  table.to_bf16(b.data(), static_cast<int64_t>(b.size()), half.data());
  std::vector<float> c(size_t(s.m) * s.n);
  const int a_row = transposed ? 1 : s.k, a_col = transposed ? s.m : 1;
  const double peak = fp32_peak_flops(table.isa, 20);
  for (auto _ : state) {
    if (element == Element::kF32) {
      table.matmul_small(a.data(), a_row, a_col, b.data(), s.n, s.m, s.n, s.k, c.data(), s.n,
                         false);
    } else {
      table.matmul_small_bf16(a.data(), a_row, a_col, half.data(), s.n, s.m, s.n, s.k, c.data(),
                              s.n, false);
    }
    benchmark::ClobberMemory();
  }
  report(state, s, peak);
}

// Bytes that the kernel must move, per second.
template <class Body>
void stream_bench(benchmark::State& state, int64_t bytes, Body body) {
  for (auto _ : state) {
    body();
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * bytes);
}

void register_rowwise(const KernelTable& table) {
  static const int64_t n = 32768;
  static auto x = random_floats(n), y = random_floats(n), z = random_floats(n);
  static auto moments = std::vector<float>(n, 0.5f);
  static std::vector<uint16_t> half(n);
  const std::string isa = isa_name(table.isa);
  const auto add = [&](const char* name, int64_t bytes, auto body) {
    benchmark::RegisterBenchmark(
        (std::string("row/") + name + "/" + isa).c_str(),
        [=](benchmark::State& state) { stream_bench(state, bytes, body); });
  };
  const KernelTable* t = &table;
  add("exp_sum", 8 * n, [=] { t->exp_sum(x.data(), 1.0f, 1.0f, n, z.data()); });
  add("silu_mul", 12 * n, [=] { t->silu_mul(x.data(), y.data(), n, z.data()); });
  add("rms_norm", 8 * n,
      [=] { t->rms_norm(x.data(), y.data(), 64, 512, 1e-5f, z.data(), nullptr); });
  add("dot", 8 * n, [=] { benchmark::DoNotOptimize(t->dot(x.data(), y.data(), n)); });
  add("argmax", 4 * n, [=] { benchmark::DoNotOptimize(t->argmax(x.data(), n)); });
  add("to_bf16", 6 * n, [=] { t->to_bf16(x.data(), n, half.data()); });
  add("transpose", 8 * n, [=] { t->transpose(x.data(), 256, 128, 256, z.data(), 128); });
  add("adamw", 28 * n, [=] {
    const AdamW step{1e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.1f, 0.1f, 1.0f};
    t->adamw(step, x.data(), n, y.data(), z.data(), moments.data());
  });
}

void register_all() {
  for (const KernelTable& table : supported_kernels()) {
    const std::string isa = isa_name(table.isa);
    for (const Shape& s : kShapes) {
      for (Precision precision : {Precision::kFp32, Precision::kBf16}) {
        for (Part part : {Part::kMultiply, Part::kWhole}) {
          const std::string name =
              std::string("gemm/") + (part == Part::kWhole ? "pack+multiply/" : "multiply/") +
              (precision == Precision::kFp32 ? "fp32/" : "bf16/") + isa + "/" + text(s);
          benchmark::RegisterBenchmark(name.c_str(), [&table, precision, s, part](auto& state) {
            gemm_bench(state, table, precision, s, part);
          });
        }
      }
    }
    for (const Shape& s : kShapes) {
      for (WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4}) {
        const std::string name = "gemm/quantize+multiply/" +
                                 std::string(format == WeightFormat::kInt8 ? "int8/" : "int4/") +
                                 isa + "/" + text(s);
        benchmark::RegisterBenchmark(name.c_str(), [&table, format, s](auto& state) {
          quantized_bench(state, table, format, s);
        });
      }
    }
    for (const Shape& s : kBlocks) {
      for (bool transposed : {false, true}) {
        for (Element element : {Element::kF32, Element::kBf16}) {
          const std::string name = std::string("small/") +
                                   (element == Element::kBf16 ? "bf16/" : "fp32/") + isa + "/" +
                                   text(s) + (transposed ? "/transposed" : "");
          benchmark::RegisterBenchmark(name.c_str(), [&table, s, transposed, element](auto& state) {
            small_bench(state, table, s, transposed, element);
          });
        }
      }
    }
    register_rowwise(table);
  }
}

}  // namespace
}  // namespace alambic::kernels

int main(int argc, char** argv) {
  alambic::kernels::register_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
