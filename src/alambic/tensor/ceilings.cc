#include "alambic/tensor/ceilings.h"

#include <cstring>
#include <functional>
#include <numeric>
#include <span>
#include <vector>

#include "alambic/base/thread_pool.h"
#include "alambic/kernels/probe.h"
#include "alambic/tensor/tensor.h"

namespace alambic {
namespace {

double on_all_threads(const std::function<double(int)>& probe) {
  const int threads = thread_count();
  std::vector<double> rates(static_cast<size_t>(threads));
  parallel_for(threads,
               [&](int64_t i) { rates[static_cast<size_t>(i)] = probe(static_cast<int>(i)); });
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

}  // namespace

Ceilings measure_ceilings(double milliseconds, bool memory) {
  const kernels::Isa isa = kernels::kernels().isa;
  Ceilings ceilings{};
  ceilings.product_flops =
      on_all_threads([&](int) { return kernels::product_peak_flops(isa, milliseconds); });
  ceilings.fp32_flops =
      on_all_threads([&](int) { return kernels::fp32_peak_flops(isa, milliseconds); });
  if (!memory) return ceilings;
  ceilings.int8_ops =
      on_all_threads([&](int) { return kernels::int8_peak_ops(isa, milliseconds); });
  constexpr size_t kBytesPerThread = size_t{128} << 20;
  const auto threads = static_cast<size_t>(thread_count());
  Tensor buffer = Tensor::empty({static_cast<int64_t>(kBytesPerThread * threads)}, DType::kU8);
  std::memset(buffer.raw(), 1, kBytesPerThread * threads);
  ceilings.read_bytes_per_s = on_all_threads([&](int i) {
    const std::span<const std::byte> part(buffer.raw() + kBytesPerThread * static_cast<size_t>(i),
                                          kBytesPerThread);
    return kernels::read_bytes_per_second(isa, part, milliseconds);
  });
  return ceilings;
}

const Ceilings& machine_ceilings() {
  static const Ceilings ceilings = measure_ceilings(30, false);
  return ceilings;
}

}  // namespace alambic
