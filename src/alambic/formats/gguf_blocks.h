// The blocks that GGUF files keep numbers in: any of them into floats, and floats into those that
// alambic writes.
//
// Formats: the block layouts of ggml (https://github.com/ggml-org/ggml, "ggml-common.h"). Q4_0 to
// Q8_0: 32 numbers with a scale, and in the _1 forms a minimum, in half precision. Q4_K to Q6_K:
// 256 numbers in groups whose scales are themselves quantised.
// Ownership: none. Thread safety: both functions use all threads; call from one.
// Errors: reading has none: every bit pattern is a number, if not a finite one. Writing throws
// kUnsupported for numbers that the type cannot hold.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "alambic/formats/gguf.h"

namespace alambic {

// `blocks` holds exactly out.size() numbers of a type that ggml_block() can size.
void from_ggml(GgmlType type, std::span<const std::byte> blocks, std::span<float> out);

// F32, F16 and BF16 (round to nearest even), Q8_0 and Q4_0 as ggml's reference rounds. The count
// must be a whole number of blocks. `where` opens the error line.
std::vector<std::byte> to_ggml(GgmlType type, std::span<const float> values,
                               std::string_view where);

}  // namespace alambic
