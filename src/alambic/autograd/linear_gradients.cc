#include "alambic/autograd/linear_gradients.h"

#include <algorithm>

#include "alambic/base/error.h"

namespace alambic {
namespace {

constexpr int64_t kNormGrain = 64;  // rows per task; also the fixed chunk of the weight's sum
constexpr int64_t kBiasGrain = 64;  // rows per task

// scale * x aᵀ: [rows, rank]
Tensor inner_rows(const LowRank& low_rank, const Tensor& x) {
  const Tensor& a = low_rank.a;
  Tensor inner = Tensor::empty({x.rows(), a.rows()});
  product({static_cast<int>(x.rows()), static_cast<int>(a.rows()), static_cast<int>(a.cols())},
          view(x), view_transposed(a), inner.data(), inner.cols());
  kernels::kernels().scale(low_rank.scale, inner.size(), inner.data());
  return inner;
}

// scale * dy b: [rows, rank]
Tensor inner_gradient(const LowRank& low_rank, const GradientColumns& dy) {
  const Tensor& b = low_rank.b;
  Tensor inner = Tensor::empty({dy.dy.rows(), b.cols()});
  product({static_cast<int>(dy.dy.rows()), static_cast<int>(b.cols()), static_cast<int>(b.rows())},
          {dy.dy.data() + dy.first, kernels::Element::kF32, dy.dy.cols(), 1}, view(b), inner.data(),
          inner.cols());
  kernels::kernels().scale(low_rank.scale, inner.size(), inner.data());
  return inner;
}

// w's gradient (+)= dyᵀ x, if it wants one.
void matrix_gradient(const GradientColumns& dy, const Tensor& x, Precision precision,
                     const Tensor& w) {
  if (!w.requires_grad()) return;
  const auto [sink, accumulate] = w.grad_sink();
  product({static_cast<int>(w.rows()), static_cast<int>(w.cols()), static_cast<int>(x.rows()),
           precision, accumulate},
          {dy.dy.data() + dy.first, kernels::Element::kF32, 1, dy.dy.cols()}, view(x), sink,
          w.cols());
}

// The sum over rows into a vector's gradient, if it wants one.
void vector_gradient(const GradientColumns& dy, const Tensor& w) {
  if (!w.requires_grad()) return;
  const auto [sink, accumulate] = w.grad_sink();
  if (!accumulate) std::fill_n(sink, w.size(), 0.0F);
  for (int64_t r = 0; r < dy.dy.rows(); ++r)
    kernels::kernels().axpy(1.0F, dy.dy.row(r) + dy.first, dy.count, sink);
}

}  // namespace

std::shared_ptr<const PackedMatrix> panels_of(const Tensor& weight, Precision precision) {
  if (weight.packed() != nullptr && weight.packed()->serves(precision)) return weight.packed();
  return std::make_shared<PackedMatrix>(view_transposed(weight), static_cast<int>(weight.cols()),
                                        static_cast<int>(weight.rows()), precision);
}

void add_beside(const LinearWeights& w, const Tensor& x, Tensor& y, int64_t first) {
  if (w.low_rank.a.defined()) {
    const Tensor& b = w.low_rank.b;
    const Tensor inner = inner_rows(w.low_rank, x);
    product({static_cast<int>(x.rows()), static_cast<int>(b.rows()), static_cast<int>(b.cols()),
             Precision::kFp32, true},
            view(inner), view_transposed(b), y.data() + first, y.cols());
  }
  if (!w.bias.defined()) return;
  const auto add = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      kernels::kernels().axpy(1.0F, w.bias.data(), w.bias.size(), y.row(r) + first);
  };
  if (y.rows() <= kBiasGrain) {
    add(0, y.rows());
  } else {
    parallel_rows(y.rows(), kBiasGrain, add);
  }
}

void weight_gradients(const GradientColumns& dy, const Tensor& x, Precision precision,
                      const LinearWeights& w) {
  matrix_gradient(dy, x, precision, w.weight);
  vector_gradient(dy, w.bias);
  const LowRank& low_rank = w.low_rank;
  if (low_rank.b.requires_grad())
    matrix_gradient(dy, inner_rows(low_rank, x), Precision::kFp32, low_rank.b);
  if (low_rank.a.requires_grad()) {
    const Tensor inner = inner_gradient(low_rank, dy);
    matrix_gradient({inner, 0, inner.cols()}, x, Precision::kFp32, low_rank.a);
  }
}

void input_gradient(const GradientColumns& dy, const LinearWeights& weights, Precision precision,
                    float* dx, bool accumulate) {
  const Tensor w = floats_of(weights.weight);
  product({static_cast<int>(dy.dy.rows()), static_cast<int>(w.cols()), static_cast<int>(w.rows()),
           precision, accumulate},
          {dy.dy.data() + dy.first, kernels::Element::kF32, dy.dy.cols(), 1}, view(w), dx,
          w.cols());
  const Tensor& a = weights.low_rank.a;
  if (!a.defined()) return;
  const Tensor inner = inner_gradient(weights.low_rank, dy);
  product({static_cast<int>(inner.rows()), static_cast<int>(a.cols()), static_cast<int>(a.rows()),
           Precision::kFp32, true},
          view(inner), view(a), dx, a.cols());
}

NormedRows::NormedRows(const Tensor& x, const Norm& norm)
    : rows(Tensor::empty(x.shape())), inverse(Tensor::empty({x.rows()})) {
  ALAMBIC_CHECK(norm.weight.size() == x.cols());
  const auto dim = static_cast<int>(x.cols());
  const bool centred = norm.bias.defined();
  if (centred) mean = Tensor::empty({x.rows()});
  parallel_rows(x.rows(), kNormGrain, [&](int64_t begin, int64_t end) {
    const auto count = static_cast<int>(end - begin);
    if (centred) {
      kernels::kernels().layer_norm(x.row(begin), norm.weight.data(), norm.bias.data(), count, dim,
                                    norm.eps, rows.row(begin), mean.data() + begin,
                                    inverse.data() + begin);
    } else {
      kernels::kernels().rms_norm(x.row(begin), norm.weight.data(), count, dim, norm.eps,
                                  rows.row(begin), inverse.data() + begin);
    }
  });
}

LeftOperand left_operand(const Tensor& x, const Norm& norm) {
  ALAMBIC_CHECK(norm.weight.size() == x.cols());
  return {view(x), norm.weight.data(), norm.eps, norm.bias.defined() ? norm.bias.data() : nullptr};
}

void norm_gradient(const Tensor& dy, const Tensor& x, const Norm& norm, const NormedRows& normed) {
  const auto dim = static_cast<int>(x.cols());
  const int64_t chunks = (x.rows() + kNormGrain - 1) / kNormGrain;
  const bool centred = norm.bias.defined();
  Tensor dx = Tensor::empty(x.shape());
  Tensor dweight = Tensor::zeros({chunks, dim});
  Tensor dbias = centred ? Tensor::zeros({chunks, dim}) : Tensor();
  parallel_rows(x.rows(), kNormGrain, [&](int64_t begin, int64_t end) {
    const auto count = static_cast<int>(end - begin);
    const int64_t chunk = begin / kNormGrain;
    if (centred) {
      kernels::kernels().layer_norm_backward(dy.row(begin), x.row(begin), norm.weight.data(),
                                             normed.mean.data() + begin,
                                             normed.inverse.data() + begin, count, dim,
                                             dx.row(begin), dweight.row(chunk), dbias.row(chunk));
    } else {
      kernels::kernels().rms_norm_backward(dy.row(begin), x.row(begin), norm.weight.data(),
                                           normed.inverse.data() + begin, count, dim, dx.row(begin),
                                           dweight.row(chunk));
    }
  });
  vector_gradient({dweight, 0, dim}, norm.weight);
  if (centred) vector_gradient({dbias, 0, dim}, norm.bias);
  pass_gradient(x, dx);
}

void list_inputs(const LinearWeights& w, std::vector<Tensor>& inputs) {
  inputs.push_back(w.weight);
  for (const Tensor* t : {&w.bias, &w.low_rank.a, &w.low_rank.b}) {
    if (t->defined()) inputs.push_back(*t);
  }
}

void list_inputs(const Norm& norm, std::vector<Tensor>& inputs) {
  inputs.push_back(norm.weight);
  if (norm.bias.defined()) inputs.push_back(norm.bias);
}

}  // namespace alambic
