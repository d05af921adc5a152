#include "alambic/autograd/input_watch.h"
#include "alambic/autograd/linear_gradients.h"
#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"
#include "alambic/tensor/gated_product.h"

namespace alambic {
namespace {

constexpr int64_t kActivationGrain = 16;  // rows per task

// h[rows, ffn] = silu(g) * u of rows [g | u]. h may be the left half's place.
void activate_gated(const Tensor& gate_up, float* h, int64_t ldh) {
  const int64_t ffn = gate_up.cols() / 2;
  parallel_rows(gate_up.rows(), kActivationGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      kernels::kernels().silu_mul(gate_up.row(r), gate_up.row(r) + ffn, ffn, h + r * ldh);
  });
}

// h may be x's place.
void activate_plain(Activation kind, const Tensor& x, float* h) {
  parallel_rows(x.rows(), kActivationGrain, [&](int64_t begin, int64_t end) {
    kernels::kernels().activate(kind, x.row(begin), (end - begin) * x.cols(), h + begin * x.cols());
  });
}

// What the backward pass keeps of the numbers before the activation.
Tensor kept(const Tensor& before, Precision precision) {
  if (precision == Precision::kFp32) return before;
  Tensor half = Tensor::empty(before.shape(), DType::kBf16);
  auto* to = reinterpret_cast<uint16_t*>(half.raw());
  parallel_rows(before.rows(), kActivationGrain, [&](int64_t begin, int64_t end) {
    kernels::kernels().to_bf16(before.row(begin), (end - begin) * before.cols(),
                               to + begin * before.cols());
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

// The first `columns` of each row, as a tensor of their own.
Tensor columns_copied(const Tensor& t, int64_t columns) {
  Tensor copy = Tensor::empty({t.rows(), columns});
  for (int64_t r = 0; r < t.rows(); ++r) std::copy_n(t.row(r), columns, copy.row(r));
  return copy;
}

// The second product of either block, from `hidden` whose first columns are its operand.
Tensor down_product(const Tensor& hidden, const LinearWeights& down, Precision precision) {
  const InputWatch* watch = InputWatch::on_this_thread();
  const bool wanted = watch != nullptr || down.low_rank.a.defined();
  const Tensor rows = wanted ? columns_copied(hidden, down.weight.cols()) : Tensor();
  if (watch != nullptr) watch->see(down.weight, rows);
  Tensor y = Tensor::empty({hidden.rows(), down.weight.rows()});
  product(static_cast<int>(hidden.rows()), view(hidden), *panels_of(down.weight, precision),
          y.data(), y.cols(), false);
  add_beside(down, rows, y, 0);
  return y;
}

void gated_mlp_gradients(const Tensor& dy, const Tensor& x, const GatedMlpWeights& w,
                         Precision precision, const Tensor& saved) {
  Tensor gate_up = widened(saved);
  const int64_t rows = x.rows(), ffn = w.gate.weight.rows();
  Tensor hidden = Tensor::empty({rows, ffn});
  activate_gated(gate_up, hidden.data(), ffn);
  const GradientColumns all{dy, 0, dy.cols()};
  weight_gradients(all, hidden, precision, w.down);
  Tensor& dh = hidden;  // the activations are spent; their buffer takes the gradient
  input_gradient(all, w.down, precision, dh.data(), false);
  // dg and du overwrite g and u: elementwise, and nothing reads those again.
  parallel_rows(rows, kActivationGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* g = gate_up.row(r);
      kernels::kernels().silu_mul_backward(dh.row(r), g, g + ffn, ffn, g, g + ffn);
    }
  });
  const NormedRows normed(x, w.norm);
  const GradientColumns of_gate{gate_up, 0, ffn}, of_up{gate_up, ffn, ffn};
  weight_gradients(of_gate, normed.rows, precision, w.gate);
  weight_gradients(of_up, normed.rows, precision, w.up);
  Tensor dnormed = Tensor::empty(x.shape());
  input_gradient(of_gate, w.gate, precision, dnormed.data(), false);
  input_gradient(of_up, w.up, precision, dnormed.data(), true);
  norm_gradient(dnormed, x, w.norm, normed);
}

void mlp_gradients(const Tensor& dy, const Tensor& x, const MlpWeights& w, Precision precision,
                   const Tensor& saved) {
  const Tensor before = widened(saved);
  Tensor hidden = Tensor::empty(before.shape());
  activate_plain(w.activation, before, hidden.data());
  const GradientColumns all{dy, 0, dy.cols()};
  weight_gradients(all, hidden, precision, w.down);
  Tensor& dh = hidden;  // as above
  input_gradient(all, w.down, precision, dh.data(), false);
  parallel_rows(before.rows(), kActivationGrain, [&](int64_t begin, int64_t end) {
    kernels::kernels().activate_backward(w.activation, dh.row(begin), before.row(begin),
                                         (end - begin) * dh.cols(), dh.row(begin));
  });
  const NormedRows normed(x, w.norm);
  const GradientColumns of_up{dh, 0, dh.cols()};
  weight_gradients(of_up, normed.rows, precision, w.up);
  Tensor dnormed = Tensor::empty(x.shape());
  input_gradient(of_up, w.up, precision, dnormed.data(), false);
  norm_gradient(dnormed, x, w.norm, normed);
}

}  // namespace

Tensor gated_mlp(const Tensor& x, const GatedMlpWeights& w, Precision precision) {
  const int64_t rows = x.rows(), ffn = w.gate.weight.rows();
  const InputWatch* watch = InputWatch::on_this_thread();
  const auto gate = panels_of(w.gate.weight, precision), up = panels_of(w.up.weight, precision);
  const bool low_rank = w.gate.low_rank.a.defined() || w.up.low_rank.a.defined();
  const bool save =
      grad_enabled() && (x.requires_grad() || w.norm.requires_grad() || w.gate.requires_grad() ||
                         w.up.requires_grad() || w.down.requires_grad());
  const bool beside = low_rank || w.gate.bias.defined() || w.up.bias.defined();
  if (!save && !beside && watch == nullptr && are_alike(*gate, *up)) {
    Tensor hidden = Tensor::empty({rows, ffn});
    gated_product(static_cast<int>(rows), left_operand(x, w.norm), *gate, *up, hidden.data());
    return down_product(hidden, w.down, precision);
  }
  Tensor gate_up = Tensor::empty({rows, 2 * ffn});
  const PackedMatrix* const both[] = {gate.get(), up.get()};
  products(static_cast<int>(rows), left_operand(x, w.norm), both, gate_up.data(), 2 * ffn);
  const Tensor normed = low_rank || watch != nullptr ? NormedRows(x, w.norm).rows : Tensor();
  if (watch != nullptr) {
    watch->see(w.gate.weight, normed);
    watch->see(w.up.weight, normed);
  }
  add_beside(w.gate, normed, gate_up, 0);
  add_beside(w.up, normed, gate_up, ffn);
  const Tensor saved = save ? kept(gate_up, precision) : Tensor();
  // In place, unless the backward pass wants to read gate and up where they are.
  const bool in_place = !save || !saved.same_as(gate_up);
  Tensor hidden = in_place ? gate_up : Tensor::empty({rows, ffn});
  activate_gated(gate_up, hidden.data(), hidden.cols());
  Tensor y = down_product(hidden, w.down, precision);
  if (!save) return y;
  std::vector<Tensor> inputs{x};
  list_inputs(w.norm, inputs);
  for (const LinearWeights* part : {&w.gate, &w.up, &w.down}) list_inputs(*part, inputs);
  return record(y, std::move(inputs), [x, w, precision, saved](const Tensor& dy) {
    gated_mlp_gradients(dy, x, w, precision, saved);
  });
}

Tensor mlp(const Tensor& x, const MlpWeights& w, Precision precision) {
  const bool save = grad_enabled() && (x.requires_grad() || w.norm.requires_grad() ||
                                       w.up.requires_grad() || w.down.requires_grad());
  Tensor before;
  {
    const NoGrad unrecorded;  // this op's own backward pass covers it
    before = norm_linear(x, w.norm, {&w.up, 1}, precision);
  }
  const Tensor saved = save ? kept(before, precision) : Tensor();
  const bool in_place = !save || !saved.same_as(before);
  Tensor hidden = in_place ? before : Tensor::empty(before.shape());
  activate_plain(w.activation, before, hidden.data());
  Tensor y = down_product(hidden, w.down, precision);
  if (!save) return y;
  std::vector<Tensor> inputs{x};
  list_inputs(w.norm, inputs);
  for (const LinearWeights* part : {&w.up, &w.down}) list_inputs(*part, inputs);
  return record(y, std::move(inputs), [x, w, precision, saved](const Tensor& dy) {
    mlp_gradients(dy, x, w, precision, saved);
  });
}

}  // namespace alambic
