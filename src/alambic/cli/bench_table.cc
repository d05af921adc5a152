#include "alambic/cli/bench_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "alambic/cli/bench_compare.h"
#include "alambic/cli/bench_products.h"
#include "alambic/eval/report.h"

namespace alambic {
namespace {

std::string header_of(const BenchResult& r) {
  const Ceilings& c = r.ceilings;
  std::string text = fmt::format(
      "{}, {} threads, {}\n"
      "measured peaks: bf16 products {:.0f} GFLOP/s, fp32 {:.0f} GFLOP/s, int8 {:.0f} GOP/s, reads "
      "{:.1f} GB/s\n",
      r.cpu, r.threads, r.isa, c.product_flops / 1e9, c.fp32_flops / 1e9, c.int8_ops / 1e9,
      c.read_bytes_per_s / 1e9);
  if (r.ceilings_differ > kBusy) {
    text += fmt::format(
        "the machine was busy: before and after, the peaks differ by {:.0f} %; the higher stands\n",
        100 * r.ceilings_differ);
  }
  return text;
}

std::string peak_of(const BenchFigure& figure) {
  return fmt::format("{:5.1f} % {}", 100 * figure.share, figure.peak);
}

std::string ratio_headings(const BenchResult* baseline) {
  return baseline == nullptr ? "" : fmt::format("{:>8}{:>10}", "share", "tokens/s");
}

std::string ratio_columns(const BenchResult* baseline, const BenchFigure& figure) {
  if (baseline == nullptr) return "";
  const std::optional<Ratios> ratios = ratios_to(*baseline, figure);
  if (!ratios) return fmt::format("{:>8}{:>10}", "-", "-");
  return fmt::format("{:>6.2f} x{:>8.2f} x{}", ratios->share, ratios->tokens_per_s,
                     ratios->share < kRegression ? "  regression"
                     : ratios->share < kSlower   ? "  slower"
                                                 : "");
}

std::vector<const BenchFigure*> figures_of(const BenchResult& result, bool products) {
  std::vector<const BenchFigure*> figures;
  for (const BenchFigure& figure : result.figures) {
    if ((figure.measurement.what == "product") == products) figures.push_back(&figure);
  }
  return figures;
}

size_t width_of_shapes(const std::vector<const BenchFigure*>& figures) {
  size_t width = 5;
  for (const BenchFigure* figure : figures)
    width = std::max(width, figure->measurement.shape.size());
  return width;
}

std::string table_of_parts(const BenchResult& result, const BenchResult* baseline) {
  const std::vector<const BenchFigure*> figures = figures_of(result, false);
  if (figures.empty()) return "";
  const size_t width = width_of_shapes(figures);
  std::string text = fmt::format("\n{:<13}{:<{}}  {:<6}{:>6}{:>8}{:>12}{:>10}  {:<18}{:>10}{}\n",
                                 "what", "shape", width, "dtype", "batch", "tokens", "tokens/s",
                                 "GFLOP/s", "of peak", "memory", ratio_headings(baseline));
  for (const BenchFigure* figure : figures) {
    const Measurement& m = figure->measurement;
    text += fmt::format("{:<13}{:<{}}  {:<6}{:>6}{:>8}{:>12.0f}{:>10.1f}  {:<18}{:>10}{}\n", m.what,
                        m.shape, width, m.dtype, m.batch, m.tokens, m.tokens_per_s, m.flops / 1e9,
                        peak_of(*figure), format_bytes(m.peak_rss_bytes),
                        ratio_columns(baseline, *figure));
  }
  return text;
}

// oneDNN's speed at the same product, and ours as a multiple of it.
std::string beside_onednn(const std::vector<const BenchFigure*>& figures, const Measurement& ours) {
  for (const BenchFigure* figure : figures) {
    const Measurement& m = figure->measurement;
    if (m.kernels == kOnednn && m.shape == ours.shape && m.dtype == ours.dtype) {
      return fmt::format("{:>10.1f}{:>8.2f} x", m.flops / 1e9, ours.flops / m.flops);
    }
  }
  return fmt::format("{:>10}{:>10}", "-", "-");
}

std::string table_of_products(const BenchResult& result, const BenchResult* baseline) {
  const std::vector<const BenchFigure*> figures = figures_of(result, true);
  if (figures.empty()) return "";
  const size_t width = width_of_shapes(figures);
  std::string text =
      fmt::format("\n{:<{}}  {:<6}{:<8}{:>10}  {:<16}{:>10}{:>10}{}\n", "product", width, "dtype",
                  "kernels", "GFLOP/s", "of peak", "oneDNN", "ours", ratio_headings(baseline));
  for (const BenchFigure* figure : figures) {
    const Measurement& m = figure->measurement;
    if (m.kernels == kOnednn) continue;
    text += fmt::format("{:<{}}  {:<6}{:<8}{:>10.1f}  {:<16}{}{}\n", m.shape, width, m.dtype,
                        m.kernels, m.flops / 1e9, peak_of(*figure), beside_onednn(figures, m),
                        ratio_columns(baseline, *figure));
  }
  text +=
      "products are rows x inputs x outputs; one row reads its weights from memory; where oneDNN "
      "has\nno fast code for this CPU there is a -\n";
  return text;
}

}  // namespace

std::string bench_table(const BenchResult& result, const BenchResult* baseline) {
  std::string text = header_of(result);
  if (baseline != nullptr) {
    text += fmt::format("ratios to {}, version {}, {}, {} threads, {}\n", baseline->date,
                        baseline->version, baseline->cpu, baseline->threads, baseline->isa);
  }
  return text + table_of_parts(result, baseline) + table_of_products(result, baseline);
}

}  // namespace alambic
