// The products of one forward, by themselves: each kernel table that this CPU runs, and oneDNN, on
// the shapes that a model meets. Weights are prepared beforehand; packing or quantising the rows is
// part of our time, as it is in a model. oneDNN's rows are in the product's type already, and its
// 8-bit sums are left unscaled: the peer at its best.
//
// Thread safety: one thread; the kernel table in use is replaced meanwhile. Errors: kInterrupted.
#pragma once

#include <vector>

#include "alambic/cli/bench_measure.h"
#include "alambic/kernels/table.h"

namespace alambic {

// What Measurement::kernels says of a product of oneDNN.
inline constexpr const char* kOnednn = "onednn";

// The tables worth measuring: all but the portable one, which is there where it is the one in use.
std::vector<kernels::Isa> measured_isas();

std::vector<Measurement> measure_products(const BenchShape& shape, const BenchDtype& dtype,
                                          bool quick);

}  // namespace alambic
