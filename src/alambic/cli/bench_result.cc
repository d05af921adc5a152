#include "alambic/cli/bench_result.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "alambic/base/error.h"

namespace alambic {
namespace {

constexpr double Ceilings::*kCeilings[] = {&Ceilings::product_flops, &Ceilings::fp32_flops,
                                           &Ceilings::int8_ops, &Ceilings::read_bytes_per_s};

// Files come from anywhere, and names go to a terminal.
std::string require_name(const Json& json, const char* key, std::string_view where) {
  std::string name = require<std::string>(json, key, where);
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f')
      fail(ErrorCode::kCorruptData, "[{}] key \"{}\" holds a control character", where, key);
  }
  return name;
}

double require_positive(const Json& json, const char* key, std::string_view where) {
  const auto value = require<double>(json, key, where);
  if (!std::isfinite(value) || value <= 0)
    fail(ErrorCode::kCorruptData, "[{}] key \"{}\" is {}; want a number above 0", where, key,
         value);
  return value;
}

BenchFigure figure_from_json(const Json& json, std::string_view where) {
  BenchFigure figure{measurement_from_json(json, where),
                     require_positive(json, "peak_fraction", where),
                     require_name(json, "peak", where)};
  for (const char* key : {"what", "shape", "dtype", "kernels"}) require_name(json, key, where);
  require_positive(json, "tokens_per_s", where);
  return figure;
}

}  // namespace

CeilingsOfTables measure_ceilings_of(std::span<const kernels::Isa> isas, bool quick) {
  const kernels::Isa in_use = kernels::kernels().isa;
  CeilingsOfTables ceilings;
  for (const kernels::Isa isa : isas) {
    kernels::use_kernels(isa);
    ceilings[kernels::isa_name(isa)] = measure_ceilings(quick ? 10 : 200, true);
  }
  kernels::use_kernels(in_use);
  return ceilings;
}

CeilingsOfTables higher_of(const CeilingsOfTables& a, const CeilingsOfTables& b) {
  CeilingsOfTables higher = a;
  for (auto& [isa, ceilings] : higher) {
    for (const auto ceiling : kCeilings)
      ceilings.*ceiling = std::max(ceilings.*ceiling, b.at(isa).*ceiling);
  }
  return higher;
}

double largest_difference(const CeilingsOfTables& a, const CeilingsOfTables& b) {
  double largest = 0;
  for (const auto& [isa, ceilings] : a) {
    for (const auto ceiling : kCeilings) {
      const auto [low, high] = std::minmax(ceilings.*ceiling, b.at(isa).*ceiling);
      largest = std::max(largest, 1 - low / high);
    }
  }
  return largest;
}

BenchFigure figure_of(Measurement m, const Ceilings& ceilings) {
  if (m.read_bytes_per_s > 0) {
    const double share = m.read_bytes_per_s / ceilings.read_bytes_per_s;
    return {std::move(m), share, "reads"};
  }
  const double products = m.dtype.starts_with("int") ? ceilings.int8_ops
                          : m.dtype == "bf16"        ? ceilings.product_flops
                                                     : ceilings.fp32_flops;
  const double share = m.flops / products;
  return {std::move(m), share, "products"};
}

OrderedJson to_json(const BenchResult& result) {
  OrderedJson list = OrderedJson::array();
  for (const BenchFigure& figure : result.figures) {
    OrderedJson item = to_json(figure.measurement);
    item["peak_fraction"] = figure.share;
    item["peak"] = figure.peak;
    list.push_back(std::move(item));
  }
  return {{"date", result.date},
          {"version", result.version},
          {"machine",
           {{"isa", result.isa},
            {"threads", result.threads},
            {"cpu", result.cpu},
            {"bf16_flops", result.ceilings.product_flops},
            {"fp32_flops", result.ceilings.fp32_flops},
            {"int8_ops", result.ceilings.int8_ops},
            {"read_bytes_per_s", result.ceilings.read_bytes_per_s},
            {"ceilings_differ", result.ceilings_differ}}},
          {"results", list}};
}

BenchResult bench_result_from_json(const Json& json, std::string_view where) {
  BenchResult result;
  result.date = require_name(json, "date", where);
  result.version = require_name(json, "version", where);
  const Json machine = require<Json>(json, "machine", where);
  result.cpu = require_name(machine, "cpu", where);
  result.isa = require_name(machine, "isa", where);
  result.threads = require<int>(machine, "threads", where);
  result.ceilings.product_flops = require_positive(machine, "bf16_flops", where);
  result.ceilings.fp32_flops = require_positive(machine, "fp32_flops", where);
  result.ceilings.int8_ops = require_positive(machine, "int8_ops", where);
  result.ceilings.read_bytes_per_s = require_positive(machine, "read_bytes_per_s", where);
  result.ceilings_differ = require<double>(machine, "ceilings_differ", where);
  const Json results = require<Json>(json, "results", where);
  if (!results.is_array()) fail(ErrorCode::kCorruptData, "[{}] \"results\" is no list", where);
  for (const Json& item : results) result.figures.push_back(figure_from_json(item, where));
  return result;
}

}  // namespace alambic
