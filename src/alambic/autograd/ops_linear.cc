#include <algorithm>

#include "alambic/autograd/input_watch.h"
#include "alambic/autograd/linear_gradients.h"
#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"

namespace alambic {

Tensor linear(const Tensor& x, const LinearWeights& w, Precision precision) {
  ALAMBIC_CHECK(x.cols() == w.weight.cols());
  if (const InputWatch* watch = InputWatch::on_this_thread(); watch != nullptr)
    watch->see(w.weight, x);
  Tensor y = Tensor::empty({x.rows(), w.weight.rows()});
  const auto panels = panels_of(w.weight, precision);
  product(static_cast<int>(x.rows()), view(x), *panels, y.data(), y.cols(), false);
  add_beside(w, x, y, 0);
  if (!grad_enabled() || !(x.requires_grad() || w.requires_grad())) return y;
  std::vector<Tensor> inputs{x};
  list_inputs(w, inputs);
  return record(y, std::move(inputs), [x, w, precision](const Tensor& dy) {
    const GradientColumns all{dy, 0, dy.cols()};
    weight_gradients(all, x, precision, w);
    if (!x.requires_grad()) return;
    const auto [sink, accumulate] = x.grad_sink();
    input_gradient(all, w, precision, sink, accumulate);
  });
}

Tensor norm_rows(const Tensor& x, const Norm& norm) {
  NormedRows normed(x, norm);
  if (!grad_enabled() || !(x.requires_grad() || norm.requires_grad())) return normed.rows;
  std::vector<Tensor> inputs{x};
  list_inputs(norm, inputs);
  Tensor y = normed.rows;
  normed.rows = Tensor();  // the result must not hold itself
  return record(y, std::move(inputs),
                [x, norm, normed](const Tensor& dy) { norm_gradient(dy, x, norm, normed); });
}

Tensor norm_linear(const Tensor& x, const Norm& norm, std::span<const LinearWeights> weights,
                   Precision precision) {
  ALAMBIC_CHECK(weights.size() <= kMostProducts);
  const InputWatch* watch = InputWatch::on_this_thread();
  std::shared_ptr<const PackedMatrix> panels[kMostProducts];
  const PackedMatrix* operands[kMostProducts];
  int64_t out = 0;
  bool low_rank = false, wanted = x.requires_grad() || norm.requires_grad();
  for (size_t i = 0; i < weights.size(); ++i) {
    ALAMBIC_CHECK(weights[i].weight.cols() == x.cols());
    panels[i] = panels_of(weights[i].weight, precision);
    operands[i] = panels[i].get();
    out += weights[i].weight.rows();
    low_rank = low_rank || weights[i].low_rank.a.defined();
    wanted = wanted || weights[i].requires_grad();
  }
  Tensor y = Tensor::empty({x.rows(), out});
  products(static_cast<int>(x.rows()), left_operand(x, norm), {operands, weights.size()}, y.data(),
           out);
  const Tensor normed = low_rank || watch != nullptr ? NormedRows(x, norm).rows : Tensor();
  int64_t first = 0;
  for (const LinearWeights& w : weights) {
    if (watch != nullptr) watch->see(w.weight, normed);
    add_beside(w, normed, y, first);
    first += w.weight.rows();
  }
  if (!grad_enabled() || !wanted) return y;
  std::vector<Tensor> inputs{x};
  list_inputs(norm, inputs);
  for (const LinearWeights& w : weights) list_inputs(w, inputs);
  return record(y, std::move(inputs),
                [x, norm, weights = std::vector(weights.begin(), weights.end()),
                 precision](const Tensor& dy) {
                  const NormedRows again(x, norm);
                  Tensor dnormed = Tensor::empty(x.shape());
                  int64_t at = 0;
                  for (const LinearWeights& w : weights) {
                    const GradientColumns own{dy, at, w.weight.rows()};
                    weight_gradients(own, again.rows, precision, w);
                    input_gradient(own, w, precision, dnormed.data(), at > 0);
                    at += w.weight.rows();
                  }
                  norm_gradient(dnormed, x, norm, again);
                });
}

}  // namespace alambic
