#include <algorithm>
#include <cmath>

#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

constexpr int64_t kElementGrain = 1 << 14;  // elements per task of an elementwise loop
constexpr int64_t kRowGrain = 64;           // rows per task; also the fixed chunk of a weight's sum

// Turns the gradient of the normed heads, which is ours alone by now, into that of x.
void head_norm_gradients(const Tensor& x, std::span<const HeadNorm> norms, const Tensor& grad) {
  Tensor dx = grad;
  int64_t first = 0;
  for (const auto& [heads, norm] : norms) {
    const auto dim = static_cast<int>(norm.weight.size());
    const int64_t chunks = (x.rows() + kRowGrain - 1) / kRowGrain;
    Tensor dweight = Tensor::zeros({chunks, dim});
    parallel_rows(
        x.rows(), kRowGrain, [&, heads = heads, &norm = norm](int64_t begin, int64_t end) {
          thread_local std::vector<float> normed, inverse;
          normed.resize(static_cast<size_t>(heads) * static_cast<size_t>(dim));
          inverse.resize(static_cast<size_t>(heads));
          for (int64_t r = begin; r < end; ++r) {
            kernels::kernels().rms_norm(x.row(r) + first, norm.weight.data(), heads, dim, norm.eps,
                                        normed.data(), inverse.data());
            float* slope = dx.row(r) + first;
            kernels::kernels().rms_norm_backward(slope, x.row(r) + first, norm.weight.data(),
                                                 inverse.data(), heads, dim, slope,
                                                 dweight.row(begin / kRowGrain));
          }
        });
    if (norm.weight.requires_grad()) {
      const auto [sink, accumulate] = norm.weight.grad_sink();
      if (!accumulate) std::fill_n(sink, dim, 0.0F);
      for (int64_t c = 0; c < chunks; ++c) kernels::kernels().axpy(1.0F, dweight.row(c), dim, sink);
    }
    first += int64_t{heads} * dim;
  }
  pass_gradient(x, dx);
}

}  // namespace

Tensor embedding(const Tensor& table, std::span<const TokenId> ids) {
  const int64_t dim = table.cols();
  Tensor out = Tensor::empty({static_cast<int64_t>(ids.size()), dim});
  for (size_t r = 0; r < ids.size(); ++r) {
    ALAMBIC_CHECK(ids[r] >= 0 && ids[r] < table.rows());
    float* row = out.row(static_cast<int64_t>(r));
    if (table.dtype() == DType::kBf16) {
      kernels::kernels().from_bf16(reinterpret_cast<const uint16_t*>(table.raw()) + ids[r] * dim,
                                   dim, row);
    } else {
      std::copy_n(table.row(ids[r]), dim, row);
    }
  }
  if (!recording({&table})) return out;
  return record(out, {table},
                [table, kept = std::vector<TokenId>(ids.begin(), ids.end())](const Tensor& grad) {
                  const auto [sink, accumulate] = table.grad_sink();
                  if (!accumulate) std::fill_n(sink, table.size(), 0.0F);
                  // Rows of one token are added in order of appearance, so the sum does not depend
                  // on threads.
                  for (size_t r = 0; r < kept.size(); ++r) {
                    kernels::kernels().axpy(1.0F, grad.row(static_cast<int64_t>(r)), table.cols(),
                                            sink + kept[r] * table.cols());
                  }
                });
}

Tensor add(const Tensor& a, const Tensor& b) {
  ALAMBIC_CHECK(a.size() == b.size());
  Tensor out = b.alias();
  parallel_rows(a.size(), kElementGrain, [&](int64_t begin, int64_t end) {
    kernels::kernels().add(a.data() + begin, b.data() + begin, end - begin, out.data() + begin);
  });
  if (!recording({&a, &b})) return out;
  return record(out, {a, b}, [a, b](const Tensor& grad) {
    add_gradient(b, grad);
    pass_gradient(a, grad);
  });
}

Tensor dropout(const Tensor& x, double p, uint64_t seed) {
  if (p <= 0) return x;
  ALAMBIC_CHECK(p < 1);
  const auto scale = static_cast<float>(1 / (1 - p));
  const auto apply = [p, seed, scale](const float* in, int64_t n, float* out) {
    parallel_rows(n, kElementGrain, [&](int64_t begin, int64_t end) {
      Rng rng(seed, static_cast<uint64_t>(begin / kElementGrain));
      const auto threshold = static_cast<uint32_t>(p * 4294967296.0);
      for (int64_t i = begin; i < end; i += 2) {
        const uint64_t bits = rng.next();
        out[i] = static_cast<uint32_t>(bits) < threshold ? 0.0F : in[i] * scale;
        if (i + 1 < end)
          out[i + 1] = static_cast<uint32_t>(bits >> 32) < threshold ? 0.0F : in[i + 1] * scale;
      }
    });
  };
  Tensor out = Tensor::empty(x.shape());
  apply(x.data(), x.size(), out.data());
  return record(out, {x}, [x, apply](const Tensor& grad) {
    Tensor masked = Tensor::empty(grad.shape());
    apply(grad.data(), grad.size(), masked.data());
    pass_gradient(x, masked);
  });
}

Tensor gather_rows(const Tensor& x, std::span<const int64_t> index) {
  Tensor out = Tensor::empty({static_cast<int64_t>(index.size()), x.cols()});
  for (size_t i = 0; i < index.size(); ++i) {
    ALAMBIC_CHECK(index[i] >= 0 && index[i] < x.rows());
    std::copy_n(x.row(index[i]), x.cols(), out.row(static_cast<int64_t>(i)));
  }
  if (!recording({&x})) return out;
  return record(out, {x}, [x, index = std::vector(index.begin(), index.end())](const Tensor& grad) {
    const auto [sink, accumulate] = x.grad_sink();
    if (!accumulate) std::fill_n(sink, x.size(), 0.0F);
    for (size_t i = 0; i < index.size(); ++i) {
      kernels::kernels().axpy(1.0F, grad.row(static_cast<int64_t>(i)), x.cols(),
                              sink + index[i] * x.cols());
    }
  });
}

Tensor norm_heads(const Tensor& x, std::span<const HeadNorm> norms) {
  bool wanted = x.requires_grad();
  for (const HeadNorm& part : norms) wanted = wanted || part.norm.requires_grad();
  const bool save = grad_enabled() && wanted;
  Tensor out = save ? x.clone() : x.alias();
  parallel_rows(x.rows(), kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* at = out.row(r);
      for (const auto& [heads, norm] : norms) {
        const auto dim = static_cast<int>(norm.weight.size());
        kernels::kernels().rms_norm(at, norm.weight.data(), heads, dim, norm.eps, at, nullptr);
        at += int64_t{heads} * dim;
      }
    }
  });
  if (!save) return out;
  std::vector<Tensor> inputs{x};
  for (const HeadNorm& part : norms) inputs.push_back(part.norm.weight);
  return record(out, std::move(inputs),
                [x, norms = std::vector(norms.begin(), norms.end())](const Tensor& grad) {
                  head_norm_gradients(x, norms, grad);
                });
}

RopeAngles rope_angles(std::span<const int64_t> positions, std::span<const double> frequencies,
                       double amplitude, bool interleaved) {
  const auto rows = static_cast<int64_t>(positions.size());
  const auto pairs = static_cast<int64_t>(frequencies.size());
  RopeAngles angles{Tensor::empty({rows, pairs}), Tensor::empty({rows, pairs}), interleaved};
  parallel_rows(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t i = 0; i < pairs; ++i) {
        const double angle = static_cast<double>(positions[static_cast<size_t>(r)]) *
                             frequencies[static_cast<size_t>(i)];
        angles.cosine.row(r)[i] = static_cast<float>(amplitude * std::cos(angle));
        angles.sine.row(r)[i] = static_cast<float>(amplitude * std::sin(angle));
      }
    }
  });
  return angles;
}

Tensor rope(const Tensor& x, int heads, int head_dim, const RopeAngles& angles) {
  const auto rotated = static_cast<int>(2 * angles.cosine.cols());
  ALAMBIC_CHECK(rotated <= head_dim && x.cols() >= int64_t{heads} * head_dim);
  const auto rotate = [heads, head_dim, rotated, angles](Tensor& t, bool inverse) {
    parallel_rows(t.rows(), kRowGrain, [&](int64_t begin, int64_t end) {
      kernels::kernels().rope(
          t.row(begin),
          {t.cols(), static_cast<int>(end - begin), heads, head_dim, rotated, angles.interleaved},
          angles.cosine.row(begin), angles.sine.row(begin), inverse);
    });
  };
  Tensor out = x.alias();
  rotate(out, false);
  if (!recording({&x})) return out;
  return record(out, {x}, [x, rotate](const Tensor& grad) {
    Tensor rotated_back = grad;  // the result's gradient is ours alone by now
    rotate(rotated_back, true);
    pass_gradient(x, rotated_back);
  });
}

Tensor round_to_bf16(const Tensor& x, int64_t first) {
  Tensor out = x.alias();
  parallel_rows(x.rows(), kRowGrain, [&](int64_t begin, int64_t end) {
    thread_local std::vector<uint16_t> halves;
    const int64_t count = x.cols() - first;
    halves.resize(static_cast<size_t>(count));
    for (int64_t r = begin; r < end; ++r) {
      kernels::kernels().to_bf16(out.row(r) + first, count, halves.data());
      kernels::kernels().from_bf16(halves.data(), count, out.row(r) + first);
    }
  });
  if (!recording({&x})) return out;
  return record(out, {x}, [x](const Tensor& grad) { pass_gradient(x, grad); });
}

}  // namespace alambic
