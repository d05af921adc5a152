// A result of `alambic bench` as people read it. Thread safety: pure. Errors: none.
#pragma once

#include <string>

#include "alambic/cli/bench_result.h"

namespace alambic {

// `baseline` may be null; else each line ends with its ratios to it.
std::string bench_table(const BenchResult& result, const BenchResult* baseline);

}  // namespace alambic
