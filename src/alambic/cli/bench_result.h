// One run of `alambic bench`: what was measured, beside the measured ceilings of its machine.
// Stored as JSON, so that a later run can be compared with it.
//
// Thread safety: pure functions, except measure_ceilings_of, which replaces the kernel table in use
// meanwhile. Errors: kCorruptData naming the file for JSON that is no such result.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/cli/bench_measure.h"
#include "alambic/kernels/table.h"
#include "alambic/tensor/ceilings.h"

namespace alambic {

// By the name of the kernel table they were measured with.
using CeilingsOfTables = std::map<std::string, Ceilings>;

CeilingsOfTables measure_ceilings_of(std::span<const kernels::Isa> isas, bool quick);
// A disturbed moment lowers a ceiling and nothing raises one: of two measurements the higher is
// right. Both have the same tables.
CeilingsOfTables higher_of(const CeilingsOfTables& a, const CeilingsOfTables& b);
// By how much of the higher one any two ceilings differ.
double largest_difference(const CeilingsOfTables& a, const CeilingsOfTables& b);

struct BenchFigure {
  Measurement measurement;
  double share;      // of the ceiling that bounds the work, measured with the same kernels
  std::string peak;  // which: "products" or "reads"
};
// Of reading weights where a token needs all of them, of products elsewhere.
BenchFigure figure_of(Measurement m, const Ceilings& ceilings);

// Another program took part of the machine where the ceilings moved by more than this.
inline constexpr double kBusy = 0.15;

struct BenchResult {
  std::string date, version;
  std::string cpu, isa;
  int threads = 1;
  Ceilings ceilings{};         // of `isa`
  double ceilings_differ = 0;  // between the beginning and the end of the run
  std::vector<BenchFigure> figures;
};

OrderedJson to_json(const BenchResult& result);
BenchResult bench_result_from_json(const Json& json, std::string_view where);

}  // namespace alambic
