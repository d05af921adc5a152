#include <algorithm>

#include "alambic/autograd/input_watch.h"
#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

constexpr int64_t kRowGrain = 64;  // rows per task; also the fixed chunk of row-wise reductions

// y (+)= x wᵀ, through the packed panels of a prepared weight where they fit the precision asked
// for.
void times_transposed(const Tensor& x, const Tensor& w, Precision precision, Tensor& y) {
  if (const InputWatch* watch = InputWatch::on_this_thread(); watch != nullptr) watch->see(w, x);
  const auto m = static_cast<int>(x.rows());
  const auto& packed = w.packed();
  if (packed != nullptr && packed->serves(precision)) {
    product(m, view(x), *packed, y.data(), y.cols(), false);
  } else {
    product({m, static_cast<int>(w.rows()), static_cast<int>(w.cols()), precision}, view(x),
            view_transposed(w), y.data(), y.cols());
  }
}

// x's gradient (+)= dy w
void input_gradient(const Tensor& dy, const Tensor& weight, Precision precision, const Tensor& x) {
  if (!x.requires_grad()) return;
  const Tensor w = floats_of(weight);
  const auto [sink, accumulate] = x.grad_sink();
  product({static_cast<int>(dy.rows()), static_cast<int>(w.cols()), static_cast<int>(w.rows()),
           precision, accumulate},
          view(dy), view(w), sink, w.cols());
}

// w's gradient (+)= dyᵀ x
void weight_gradient(const Tensor& dy, const Tensor& x, Precision precision, const Tensor& w) {
  if (!w.requires_grad()) return;
  const auto [sink, accumulate] = w.grad_sink();
  product({static_cast<int>(w.rows()), static_cast<int>(w.cols()), static_cast<int>(x.rows()),
           precision, accumulate},
          view_transposed(dy), view(x), sink, w.cols());
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& w, Precision precision, const Tensor& bias) {
  ALAMBIC_CHECK(x.cols() == w.cols());
  Tensor y = Tensor::empty({x.rows(), w.rows()});
  times_transposed(x, w, precision, y);
  std::vector<Tensor> inputs{x, w};
  if (bias.defined()) {
    ALAMBIC_CHECK(bias.size() == w.rows());
    parallel_rows(y.rows(), kRowGrain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        kernels::kernels().axpy(1.0F, bias.data(), bias.size(), y.row(r));
      }
    });
    inputs.push_back(bias);
  }
  return record(y, std::move(inputs), [x, w, bias, precision](const Tensor& dy) mutable {
    weight_gradient(dy, x, precision, w);
    if (bias.requires_grad()) {
      const auto [sink, accumulate] = bias.grad_sink();
      if (!accumulate) std::fill_n(sink, bias.size(), 0.0F);
      for (int64_t r = 0; r < dy.rows(); ++r)
        kernels::kernels().axpy(1.0F, dy.row(r), dy.cols(), sink);
    }
    input_gradient(dy, w, precision, x);
  });
}

Tensor rms_norm(const Tensor& x, const Tensor& w, float eps) {
  const auto dim = static_cast<int>(x.cols());
  ALAMBIC_CHECK(w.size() == dim);
  Tensor y = Tensor::empty(x.shape());
  const bool save = recording({&x, &w});
  Tensor inv_rms = save ? Tensor::empty({x.rows()}) : Tensor();
  parallel_rows(x.rows(), kRowGrain, [&](int64_t begin, int64_t end) {
    kernels::kernels().rms_norm(x.row(begin), w.data(), static_cast<int>(end - begin), dim, eps,
                                y.row(begin), save ? inv_rms.data() + begin : nullptr);
  });
  return record(y, {x, w}, [x, w, inv_rms, dim](const Tensor& dy) mutable {
    const int64_t chunks = (x.rows() + kRowGrain - 1) / kRowGrain;
    Tensor dx = Tensor::empty(x.shape());
    Tensor partial = Tensor::zeros({chunks, dim});
    parallel_rows(x.rows(), kRowGrain, [&](int64_t begin, int64_t end) {
      kernels::kernels().rms_norm_backward(dy.row(begin), x.row(begin), w.data(),
                                           inv_rms.data() + begin, static_cast<int>(end - begin),
                                           dim, dx.row(begin), partial.row(begin / kRowGrain));
    });
    if (w.requires_grad()) {
      const auto [sink, accumulate] = w.grad_sink();
      if (!accumulate) std::fill_n(sink, dim, 0.0F);
      for (int64_t c = 0; c < chunks; ++c) kernels::kernels().axpy(1.0F, partial.row(c), dim, sink);
    }
    pass_gradient(x, dx);
  });
}

Tensor gated_mlp(const Tensor& x, const Tensor& gate, const Tensor& up, const Tensor& down,
                 Precision precision) {
  const int64_t rows = x.rows(), ffn = gate.rows();
  Tensor g = Tensor::empty({rows, ffn}), u = Tensor::empty({rows, ffn});
  times_transposed(x, gate, precision, g);
  times_transposed(x, up, precision, u);
  const bool save = recording({&x, &gate, &up, &down});
  Tensor h = save ? Tensor::empty({rows, ffn}) : g.alias();
  const auto activate = [ffn](const Tensor& gates, const Tensor& ups, Tensor& out) {
    parallel_rows(gates.rows(), 16, [&](int64_t begin, int64_t end) {
      kernels::kernels().silu_mul(gates.row(begin), ups.row(begin), (end - begin) * ffn,
                                  out.row(begin));
    });
  };
  activate(g, u, h);
  Tensor y = Tensor::empty({rows, down.rows()});
  times_transposed(h, down, precision, y);
  return record(y, {x, gate, up, down},
                [x, gate, up, down, g, u, precision, activate](const Tensor& dy) mutable {
                  Tensor hidden = Tensor::empty(g.shape());
                  activate(g, u, hidden);
                  weight_gradient(dy, hidden, precision, down);
                  Tensor& dh =
                      hidden;  // the activations are spent; their buffer takes the gradient
                  product({static_cast<int>(dy.rows()), static_cast<int>(down.cols()),
                           static_cast<int>(down.rows()), precision},
                          view(dy), view(floats_of(down)), dh.data(), dh.cols());
                  // dg and du overwrite g and u: elementwise, and nothing reads those again.
                  parallel_rows(g.rows(), 16, [&](int64_t begin, int64_t end) {
                    kernels::kernels().silu_mul_backward(dh.row(begin), g.row(begin), u.row(begin),
                                                         (end - begin) * g.cols(), g.row(begin),
                                                         u.row(begin));
                  });
                  weight_gradient(g, x, precision, gate);
                  weight_gradient(u, x, precision, up);
                  input_gradient(g, gate, precision, x);
                  input_gradient(u, up, precision, x);
                });
}

}  // namespace alambic
