// What this machine can do at most, measured on all threads at once: the yardstick of benchmarks
// and of the trainer.
#pragma once

namespace alambic {

struct Ceilings {
  double product_flops;  // bf16 products on the unit that runs them (AMX, else fp32 FMA)
  double fp32_flops;
  double int8_ops;
  double read_bytes_per_s;  // memory; 0 in a quick measurement
};

// `milliseconds` per probe; `memory` also reads a buffer of several times the last cache.
Ceilings measure_ceilings(double milliseconds, bool memory);

// A quick measurement of the product rates (60 ms), made once per process.
const Ceilings& machine_ceilings();

}  // namespace alambic
