#include "alambic/cli/bench_compare.h"

#include <fmt/format.h>

#include <algorithm>

#include "alambic/cli/bench_products.h"

namespace alambic {
namespace {

bool same_work(const Measurement& a, const Measurement& b) {
  return a.what == b.what && a.shape == b.shape && a.dtype == b.dtype && a.kernels == b.kernels &&
         a.batch == b.batch && a.tokens == b.tokens;
}

}  // namespace

std::optional<Ratios> ratios_to(const BenchResult& baseline, const BenchFigure& figure) {
  for (const BenchFigure& old : baseline.figures) {
    if (!same_work(old.measurement, figure.measurement)) continue;
    return Ratios{figure.share / old.share,
                  figure.measurement.tokens_per_s / old.measurement.tokens_per_s};
  }
  return std::nullopt;
}

bool regressed(const BenchResult& baseline, const BenchFigure& figure) {
  if (figure.measurement.kernels == kOnednn) return false;
  const std::optional<Ratios> ratios = ratios_to(baseline, figure);
  return ratios && ratios->share < kRegression;
}

BenchResult better_of(const BenchResult& first, const BenchResult& again) {
  BenchResult better = first;
  better.ceilings_differ = std::max(first.ceilings_differ, again.ceilings_differ);
  for (BenchFigure& figure : better.figures) {
    for (const BenchFigure& other : again.figures) {
      if (same_work(figure.measurement, other.measurement) && other.share > figure.share)
        figure = other;
    }
  }
  return better;
}

bool comparable(const BenchResult& baseline, const BenchResult& result) {
  return std::any_of(result.figures.begin(), result.figures.end(), [&](const BenchFigure& figure) {
    return ratios_to(baseline, figure).has_value();
  });
}

std::vector<std::string> regressions(const BenchResult& baseline, const BenchResult& result) {
  std::vector<std::string> found;
  for (const BenchFigure& figure : result.figures) {
    const Measurement& m = figure.measurement;
    if (!regressed(baseline, figure)) continue;
    const std::string name =
        m.what == "product" ? fmt::format("{} {} {} {}", m.what, m.shape, m.dtype, m.kernels)
                            : fmt::format("{} {} {} batch {}", m.what, m.shape, m.dtype, m.batch);
    found.push_back(fmt::format("{}: {:.2f}", name, ratios_to(baseline, figure)->share));
  }
  return found;
}

}  // namespace alambic
