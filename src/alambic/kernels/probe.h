// Measured ceilings of one thread: what `bench` prints beside its results, and what the trainer's
// fraction of peak divides by. Each probe spins for about the given time and returns the rate of
// its best millisecond (or of its best pass over the buffer), so that a disturbed moment does not
// lower the ceiling. To measure N threads, run the same probe on N threads at once and add.
//
// Ownership: none; the buffer belongs to the caller. Thread safety: pure. Errors: none; `isa` must
// be one that supported_kernels() lists.
#pragma once

#include <cstddef>
#include <span>

#include "alambic/kernels/table.h"

namespace alambic::kernels {

// Multiplications and additions in fp32, per second.
double fp32_peak_flops(Isa isa, double milliseconds);
// The same in the instructions that a Precision::kBf16 product runs on: AMX bf16 tiles, else fp32.
double product_peak_flops(Isa isa, double milliseconds);
// 8-bit multiplications and additions into 32-bit sums, per second: AMX int8, VNNI, or the best
// below it.
double int8_peak_ops(Isa isa, double milliseconds);
// Bytes read per second, front to back. Make the buffer several times the last cache (and fill it:
// untouched pages are all one page of zeros) to measure memory. At least one pass, whatever the
// time.
double read_bytes_per_second(Isa isa, std::span<const std::byte> buffer, double milliseconds);

}  // namespace alambic::kernels
