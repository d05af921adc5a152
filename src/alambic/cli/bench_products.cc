#include "alambic/cli/bench_products.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "alambic/base/progress.h"
#include "alambic/base/rng.h"
#include "alambic/cli/bench_repeat.h"
#include "alambic/cli/onednn_peer.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

// A product of one row is measured on as many copies of its weight as do not fit a cache: a token
// meets every weight of the model before it meets one again.
constexpr double kBeyondCaches = 128 << 20;

struct ProductSize {
  int rows, k, n;
  double operations() const { return 2.0 * rows * k * n; }
};

// The inputs and outputs of the matrices; what coincides stands there once.
std::vector<std::pair<int, int>> matrices_of(const ModelConfig& c) {
  std::vector<std::pair<int, int>> sizes;
  for (const auto& size : {std::pair{c.dim, c.heads * c.head_dim},
                           {c.dim, c.kv_heads * c.head_dim},
                           {c.dim, c.ffn},
                           {c.ffn, c.dim},
                           {c.dim, c.vocab_size}}) {
    if (std::find(sizes.begin(), sizes.end(), size) == sizes.end()) sizes.push_back(size);
  }
  return sizes;
}

// One row is a step of one stream, 16 a batch of streams, many a prompt or a training step. The
// head meets few rows but in training, which takes it by pieces.
std::vector<int> rows_of(bool head, const BenchDtype& dtype) {
  if (!head) return {1, 16, 512};
  return dtype.weights ? std::vector<int>{1, 16} : std::vector<int>{1, 16, 256};
}

Tensor random_matrix(int rows, int cols, double low, double high, uint64_t stream) {
  Tensor t = Tensor::empty({rows, cols});
  Rng rng(3, stream);
  for (float& v : t.values()) v = static_cast<float>(low + (high - low) * rng.uniform());
  return t;
}

// Of one multiplication, over many: a single small one is shorter than the clock is exact.
template <class Multiply>
double seconds_of_product(const Multiply& multiply, size_t copies, bool quick) {
  const Stopwatch first_round;
  for (size_t i = 0; i < copies; ++i) multiply(i);
  const double once = first_round.seconds() / static_cast<double>(copies);
  constexpr double kWindow = 0.015;
  const int repeats = quick ? 1 : static_cast<int>(std::clamp(kWindow / once, 1.0, 1e5));
  size_t next = 0;
  const auto window = [&] {
    for (int i = 0; i < repeats; ++i) {
      multiply(next);
      next = next + 1 == copies ? 0 : next + 1;
    }
  };
  return fewest_seconds(window, quick ? 3 : 7) / repeats;
}

size_t copies_of(const ProductSize& size, double bytes, bool quick) {
  return size.rows > 1 || quick ? 1 : static_cast<size_t>(kBeyondCaches / bytes) + 1;
}

Measurement measurement_of(const BenchShape& shape, const ProductSize& size, const char* kernels,
                           double weight_bytes, double seconds) {
  Measurement m;
  m.shape = fmt::format("{} {}x{}x{}", shape.name, size.rows, size.k, size.n);
  m.kernels = kernels;
  m.tokens = size.rows;
  m.tokens_per_s = size.rows / seconds;
  m.flops = size.operations() / seconds;
  if (size.rows == 1) m.read_bytes_per_s = weight_bytes / seconds;
  return m;
}

// As linear() does it: rows are packed or quantised on the way in.
double seconds_of(const ProductSize& size, const Tensor& x,
                  const std::vector<PackedMatrix>& weights, bool quick) {
  Tensor out = Tensor::empty({size.rows, size.n});
  return seconds_of_product(
      [&](size_t copy) { product(size.rows, view(x), weights[copy], out.data(), size.n, false); },
      weights.size(), quick);
}

std::vector<PackedMatrix> float_panels(const Tensor& w, Precision precision, size_t copies) {
  std::vector<PackedMatrix> panels;
  const auto k = static_cast<int>(w.cols()), n = static_cast<int>(w.rows());
  for (size_t i = 0; i < copies; ++i) panels.emplace_back(view_transposed(w), k, n, precision);
  return panels;
}

std::vector<PackedMatrix> quantized_panels(const QuantizedMatrix& q, size_t copies) {
  std::vector<PackedMatrix> panels;
  for (size_t i = 0; i < copies; ++i) {
    panels.emplace_back(QuantizedMatrix(q.format(), q.out(), q.in(), q.values().clone(),
                                        q.scales().clone(),
                                        q.zeros().defined() ? q.zeros().clone() : Tensor()));
  }
  return panels;
}

// Puts back the table in use, whatever happens.
class KernelsInUse {
 public:
  KernelsInUse() : isa_(kernels::kernels().isa) {}
  ~KernelsInUse() { kernels::use_kernels(isa_); }
  KernelsInUse(const KernelsInUse&) = delete;
  KernelsInUse& operator=(const KernelsInUse&) = delete;

 private:
  kernels::Isa isa_;
};

void measure_ours(const BenchShape& shape, const BenchDtype& dtype, const Tensor& w,
                  const std::vector<ProductSize>& sizes, bool quick,
                  std::vector<Measurement>& measurements) {
  const KernelsInUse restored_at_the_end;
  std::optional<QuantizedMatrix> quantized;
  if (dtype.weights) quantized = QuantizedMatrix::rounded(*dtype.weights, w);
  const double bytes =
      quantized ? static_cast<double>(quantized->bytes())
                : static_cast<double>(w.size()) * (dtype.precision == Precision::kBf16 ? 2 : 4);
  for (const kernels::Isa isa : measured_isas()) {
    kernels::use_kernels(isa);
    for (const ProductSize& size : sizes) {
      const Tensor x = random_matrix(size.rows, size.k, -0.5, 0.5, 1);
      const size_t copies = copies_of(size, bytes, quick);
      const auto panels = quantized ? quantized_panels(*quantized, copies)
                                    : float_panels(w, dtype.precision, copies);
      measurements.push_back(measurement_of(shape, size, kernels::isa_name(isa), bytes,
                                            seconds_of(size, x, panels, quick)));
    }
  }
}

void measure_onednn(const BenchShape& shape, const BenchDtype& dtype,
                    const std::vector<ProductSize>& sizes, bool quick,
                    std::vector<Measurement>& measurements) {
  if (dtype.weights == WeightFormat::kInt4) return;  // oneDNN 2 has none
  const OnednnType type = dtype.weights                         ? OnednnType::kInt8
                          : dtype.precision == Precision::kBf16 ? OnednnType::kBf16
                                                                : OnednnType::kF32;
  const int bytes_per_weight = type == OnednnType::kInt8 ? 1 : type == OnednnType::kBf16 ? 2 : 4;
  const Tensor w = random_matrix(sizes.front().n, sizes.front().k, -127, 127, 0);
  for (const ProductSize& size : sizes) {
    const Tensor x = random_matrix(size.rows, size.k, 0, 127, 1);
    const double bytes = static_cast<double>(w.size()) * bytes_per_weight;
    const size_t copies = copies_of(size, bytes, quick);
    const auto product =
        OnednnProduct::make(type, size.rows, size.k, size.n, x.data(), w.data(), copies);
    if (product == nullptr) return;
    const double seconds =
        seconds_of_product([&](size_t copy) { product->multiply(copy); }, copies, quick);
    measurements.push_back(measurement_of(shape, size, kOnednn, bytes, seconds));
  }
}

}  // namespace

std::vector<kernels::Isa> measured_isas() {
  std::vector<kernels::Isa> isas;
  for (const kernels::KernelTable& table : kernels::supported_kernels()) {
    if (table.isa != kernels::Isa::kScalar || kernels::kernels().isa == kernels::Isa::kScalar)
      isas.push_back(table.isa);
  }
  return isas;
}

std::vector<Measurement> measure_products(const BenchShape& shape, const BenchDtype& dtype,
                                          bool quick) {
  std::vector<Measurement> measurements;
  for (const auto& [k, n] : matrices_of(shape.config)) {
    std::vector<ProductSize> sizes;
    for (const int rows : rows_of(n == shape.config.vocab_size, dtype))
      sizes.push_back({rows, k, n});
    measure_ours(shape, dtype, random_matrix(n, k, -0.5, 0.5, 0), sizes, quick, measurements);
    measure_onednn(shape, dtype, sizes, quick, measurements);
  }
  return measurements;
}

}  // namespace alambic
