#include "alambic/autograd/linear_gradients.h"

#include <algorithm>

namespace alambic {
namespace {

constexpr int64_t kNormGrain = 64;  // rows per task; also the fixed chunk of the weight's sum

}  // namespace

std::shared_ptr<const PackedMatrix> panels_of(const Tensor& weight, Precision precision) {
  if (weight.packed() != nullptr && weight.packed()->serves(precision)) return weight.packed();
  return std::make_shared<PackedMatrix>(view_transposed(weight), static_cast<int>(weight.cols()),
                                        static_cast<int>(weight.rows()), precision);
}

void weight_gradient(const GradientColumns& dy, const Tensor& x, Precision precision,
                     const Tensor& w) {
  if (!w.requires_grad()) return;
  const auto [sink, accumulate] = w.grad_sink();
  product({static_cast<int>(w.rows()), static_cast<int>(w.cols()), static_cast<int>(x.rows()),
           precision, accumulate},
          {dy.dy.data() + dy.first, kernels::Element::kF32, 1, dy.dy.cols()}, view(x), sink,
          w.cols());
}

void input_gradient(const GradientColumns& dy, const Tensor& weight, Precision precision, float* dx,
                    bool accumulate) {
  const Tensor w = floats_of(weight);
  product({static_cast<int>(dy.dy.rows()), static_cast<int>(w.cols()), static_cast<int>(w.rows()),
           precision, accumulate},
          {dy.dy.data() + dy.first, kernels::Element::kF32, dy.dy.cols(), 1}, view(w), dx,
          w.cols());
}

NormedRows::NormedRows(const Tensor& x, const Tensor& norm, float eps)
    : rows(Tensor::empty(x.shape())), inv_rms(Tensor::empty({x.rows()})) {
  parallel_rows(x.rows(), kNormGrain, [&](int64_t begin, int64_t end) {
    kernels::kernels().rms_norm(x.row(begin), norm.data(), static_cast<int>(end - begin),
                                static_cast<int>(x.cols()), eps, rows.row(begin),
                                inv_rms.data() + begin);
  });
}

void norm_gradient(const Tensor& dy, const Tensor& x, const Tensor& norm, const Tensor& inv_rms) {
  const auto dim = static_cast<int>(x.cols());
  const int64_t chunks = (x.rows() + kNormGrain - 1) / kNormGrain;
  Tensor dx = Tensor::empty(x.shape());
  Tensor partial = Tensor::zeros({chunks, dim});
  parallel_rows(x.rows(), kNormGrain, [&](int64_t begin, int64_t end) {
    kernels::kernels().rms_norm_backward(dy.row(begin), x.row(begin), norm.data(),
                                         inv_rms.data() + begin, static_cast<int>(end - begin), dim,
                                         dx.row(begin), partial.row(begin / kNormGrain));
  });
  if (norm.requires_grad()) {
    const auto [sink, accumulate] = norm.grad_sink();
    if (!accumulate) std::fill_n(sink, dim, 0.0F);
    for (int64_t c = 0; c < chunks; ++c) kernels::kernels().axpy(1.0F, partial.row(c), dim, sink);
  }
  pass_gradient(x, dx);
}

}  // namespace alambic
