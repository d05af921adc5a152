// A quick comparison of a table with the portable one, made at start-up for the ISAs that few
// machines of the developers have: a table that disagrees is left out with a warning instead of
// computing wrong numbers. Takes well under a millisecond. Thread safety: pure.
#pragma once

#include <string>

#include "alambic/kernels/table.h"

namespace alambic::kernels {

// The name of the first entry of `table` that disagrees with `reference`, or "" if all agree.
std::string first_disagreement(const KernelTable& table, const KernelTable& reference);

}  // namespace alambic::kernels
