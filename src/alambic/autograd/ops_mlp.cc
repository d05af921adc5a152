#include "alambic/autograd/input_watch.h"
#include "alambic/autograd/linear_gradients.h"
#include "alambic/autograd/ops.h"

namespace alambic {
namespace {

constexpr int64_t kActivationGrain = 16;  // rows per task

// h[rows, ffn] = silu(g) * u of rows [g | u]. h may be the left half's place.
void activate(const Tensor& gate_up, float* h, int64_t ldh) {
  const int64_t ffn = gate_up.cols() / 2;
  parallel_rows(gate_up.rows(), kActivationGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      kernels::kernels().silu_mul(gate_up.row(r), gate_up.row(r) + ffn, ffn, h + r * ldh);
  });
}

// What the backward pass keeps of gate and up.
Tensor kept(const Tensor& gate_up, Precision precision) {
  if (precision == Precision::kFp32) return gate_up;
  Tensor half = Tensor::empty(gate_up.shape(), DType::kBf16);
  auto* to = reinterpret_cast<uint16_t*>(half.raw());
  parallel_rows(gate_up.rows(), kActivationGrain, [&](int64_t begin, int64_t end) {
    kernels::kernels().to_bf16(gate_up.row(begin), (end - begin) * gate_up.cols(),
                               to + begin * gate_up.cols());
  });
  return half;
}

Tensor widened(const Tensor& saved) {
  if (saved.dtype() == DType::kF32) return saved;
  Tensor wide = Tensor::empty(saved.shape());
  const auto* from = reinterpret_cast<const uint16_t*>(saved.raw());
  parallel_rows(wide.rows(), kActivationGrain, [&](int64_t begin, int64_t end) {
    kernels::kernels().from_bf16(from + begin * wide.cols(), (end - begin) * wide.cols(),
                                 wide.row(begin));
  });
  return wide;
}

void mlp_gradients(const Tensor& dy, const Tensor& x, const GatedMlpWeights& w, float eps,
                   Precision precision, const Tensor& saved) {
  Tensor gate_up = widened(saved);
  const int64_t rows = x.rows(), ffn = w.gate.rows();
  Tensor hidden = Tensor::empty({rows, ffn});
  activate(gate_up, hidden.data(), ffn);
  const GradientColumns all{dy, 0, dy.cols()};
  weight_gradient(all, hidden, precision, w.down);
  Tensor& dh = hidden;  // the activations are spent; their buffer takes the gradient
  input_gradient(all, w.down, precision, dh.data(), false);
  // dg and du overwrite g and u: elementwise, and nothing reads those again.
  parallel_rows(rows, kActivationGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* g = gate_up.row(r);
      kernels::kernels().silu_mul_backward(dh.row(r), g, g + ffn, ffn, g, g + ffn);
    }
  });
  const NormedRows normed(x, w.norm, eps);
  const GradientColumns of_gate{gate_up, 0, ffn}, of_up{gate_up, ffn, ffn};
  weight_gradient(of_gate, normed.rows, precision, w.gate);
  weight_gradient(of_up, normed.rows, precision, w.up);
  Tensor dnormed = Tensor::empty(x.shape());
  input_gradient(of_gate, w.gate, precision, dnormed.data(), false);
  input_gradient(of_up, w.up, precision, dnormed.data(), true);
  norm_gradient(dnormed, x, w.norm, normed.inv_rms);
}

}  // namespace

Tensor gated_mlp(const Tensor& x, const GatedMlpWeights& w, float eps, Precision precision) {
  const int64_t rows = x.rows(), ffn = w.gate.rows();
  const InputWatch* watch = InputWatch::on_this_thread();
  if (watch != nullptr) {
    const NormedRows normed(x, w.norm, eps);
    watch->see(w.gate, normed.rows);
    watch->see(w.up, normed.rows);
  }
  Tensor gate_up = Tensor::empty({rows, 2 * ffn});
  const auto gate = panels_of(w.gate, precision), up = panels_of(w.up, precision);
  const PackedMatrix* const both[] = {gate.get(), up.get()};
  products(static_cast<int>(rows), {view(x), w.norm.data(), eps}, both, gate_up.data(), 2 * ffn);
  const bool save = recording({&x, &w.norm, &w.gate, &w.up, &w.down});
  const Tensor saved = save ? kept(gate_up, precision) : Tensor();
  // In place, unless the backward pass wants to read gate and up where they are.
  const bool in_place = !save || !saved.same_as(gate_up);
  Tensor hidden = in_place ? gate_up : Tensor::empty({rows, ffn});
  activate(gate_up, hidden.data(), hidden.cols());
  if (watch != nullptr) {
    Tensor inputs = Tensor::empty({rows, ffn});
    for (int64_t r = 0; r < rows; ++r) std::copy_n(hidden.row(r), ffn, inputs.row(r));
    watch->see(w.down, inputs);
  }
  Tensor y = Tensor::empty({rows, w.down.rows()});
  product(static_cast<int>(rows), view(hidden), *panels_of(w.down, precision), y.data(), y.cols(),
          false);
  if (!save) return y;
  return record(y, {x, w.norm, w.gate, w.up, w.down},
                [x, w, eps, precision, saved](const Tensor& dy) {
                  mlp_gradients(dy, x, w, eps, precision, saved);
                });
}

}  // namespace alambic
