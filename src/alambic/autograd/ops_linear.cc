#include <algorithm>

#include "alambic/autograd/input_watch.h"
#include "alambic/autograd/linear_gradients.h"
#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"

namespace alambic {
namespace {

constexpr int64_t kRowGrain = 64;  // rows per task

}  // namespace

Tensor linear(const Tensor& x, const Tensor& w, Precision precision, const Tensor& bias) {
  ALAMBIC_CHECK(x.cols() == w.cols());
  if (const InputWatch* watch = InputWatch::on_this_thread(); watch != nullptr) watch->see(w, x);
  Tensor y = Tensor::empty({x.rows(), w.rows()});
  const auto panels = panels_of(w, precision);
  product(static_cast<int>(x.rows()), view(x), *panels, y.data(), y.cols(), false);
  if (bias.defined()) {
    ALAMBIC_CHECK(bias.size() == w.rows());
    parallel_rows(y.rows(), kRowGrain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        kernels::kernels().axpy(1.0F, bias.data(), bias.size(), y.row(r));
      }
    });
  }
  if (!recording({&x, &w, &bias})) return y;
  std::vector<Tensor> inputs{x, w};
  if (bias.defined()) inputs.push_back(bias);
  return record(y, std::move(inputs), [x, w, bias, precision](const Tensor& dy) mutable {
    const GradientColumns all{dy, 0, dy.cols()};
    weight_gradient(all, x, precision, w);
    if (bias.requires_grad()) {
      const auto [sink, accumulate] = bias.grad_sink();
      if (!accumulate) std::fill_n(sink, bias.size(), 0.0F);
      for (int64_t r = 0; r < dy.rows(); ++r)
        kernels::kernels().axpy(1.0F, dy.row(r), dy.cols(), sink);
    }
    if (!x.requires_grad()) return;
    const auto [sink, accumulate] = x.grad_sink();
    input_gradient(all, w, precision, sink, accumulate);
  });
}

Tensor rms_norm(const Tensor& x, const Tensor& w, float eps) {
  ALAMBIC_CHECK(w.size() == x.cols());
  const NormedRows normed(x, w, eps);
  if (!recording({&x, &w})) return normed.rows;
  return record(normed.rows, {x, w}, [x, w, inv_rms = normed.inv_rms](const Tensor& dy) {
    norm_gradient(dy, x, w, inv_rms);
  });
}

Tensor norm_linear(const Tensor& x, const Tensor& norm, float eps, std::span<const Tensor> weights,
                   Precision precision) {
  ALAMBIC_CHECK(norm.size() == x.cols() && weights.size() <= kMostProducts);
  if (const InputWatch* watch = InputWatch::on_this_thread(); watch != nullptr) {
    const NormedRows normed(x, norm, eps);
    for (const Tensor& w : weights) watch->see(w, normed.rows);
  }
  std::shared_ptr<const PackedMatrix> panels[kMostProducts];
  const PackedMatrix* operands[kMostProducts];
  int64_t out = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    ALAMBIC_CHECK(weights[i].cols() == x.cols());
    panels[i] = panels_of(weights[i], precision);
    operands[i] = panels[i].get();
    out += weights[i].rows();
  }
  Tensor y = Tensor::empty({x.rows(), out});
  products(static_cast<int>(x.rows()), {view(x), norm.data(), eps}, {operands, weights.size()},
           y.data(), out);
  if (!grad_enabled()) return y;
  std::vector<Tensor> inputs(weights.begin(), weights.end());
  inputs.push_back(x);
  inputs.push_back(norm);
  return record(y, std::move(inputs),
                [x, norm, eps, weights = std::vector(weights.begin(), weights.end()),
                 precision](const Tensor& dy) {
                  const NormedRows normed(x, norm, eps);
                  Tensor dnormed = Tensor::empty(x.shape());
                  int64_t first = 0;
                  for (const Tensor& w : weights) {
                    const GradientColumns own{dy, first, w.rows()};
                    weight_gradient(own, normed.rows, precision, w);
                    input_gradient(own, w, precision, dnormed.data(), first > 0);
                    first += w.rows();
                  }
                  norm_gradient(dnormed, x, norm, normed.inv_rms);
                });
}

}  // namespace alambic
