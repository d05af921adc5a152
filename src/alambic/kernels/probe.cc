#include "alambic/kernels/probe.h"

#include <algorithm>
#include <chrono>

#include "alambic/kernels/tables.h"

namespace alambic::kernels {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Bursts bursts(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return scalar_bursts();
    case Isa::kAvx2:
      return avx2_bursts();
    case Isa::kAvx512:
      return avx512_bursts();
    case Isa::kAmx:
      return amx_bursts();
  }
  return scalar_bursts();
}

double best_rate(const Burst& burst, double milliseconds) {
  const auto start = Clock::now();
  volatile float sink = 0;
  int64_t rounds = 1024;
  double best = 0;
  do {
    const auto begin = Clock::now();
    sink = sink + burst.run(rounds);
    const double seconds = seconds_since(begin);
    // Short windows measure the clock, not the units: grow until one takes about a millisecond.
    if (seconds < 0.5e-3) {
      rounds *= 2;
      continue;
    }
    best = std::max(best, burst.ops_per_round * static_cast<double>(rounds) / seconds);
  } while (best == 0 || seconds_since(start) < milliseconds * 1e-3);
  return best;
}

}  // namespace

double fp32_peak_flops(Isa isa, double milliseconds) {
  return best_rate(bursts(isa).fp32, milliseconds);
}

double product_peak_flops(Isa isa, double milliseconds) {
  return best_rate(bursts(isa).product, milliseconds);
}

double int8_peak_ops(Isa isa, double milliseconds) {
  return best_rate(bursts(isa).int8, milliseconds);
}

double read_bytes_per_second(Isa isa, std::span<const std::byte> buffer, double milliseconds) {
  const auto read = bursts(isa).read;
  const auto size = static_cast<int64_t>(buffer.size());
  const auto start = Clock::now();
  volatile uint32_t sink = 0;
  double best = 0;
  do {
    const auto begin = Clock::now();
    sink = sink ^ read(buffer.data(), size);
    best = std::max(best, static_cast<double>(size) / std::max(1e-9, seconds_since(begin)));
  } while (seconds_since(start) < milliseconds * 1e-3);
  return best;
}

}  // namespace alambic::kernels
