#include <algorithm>
#include <cmath>

#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

constexpr int64_t kElementGrain = 1 << 14;  // elements per task of an elementwise loop

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

RopeAngles rope_angles(std::span<const int64_t> positions, int head_dim, double theta) {
  const auto rows = static_cast<int64_t>(positions.size());
  const int half = head_dim / 2;
  RopeAngles angles{Tensor::empty({rows, half}), Tensor::empty({rows, half})};
  thread_local std::vector<double> frequency;
  frequency.resize(static_cast<size_t>(half));
  for (int i = 0; i < half; ++i) frequency[i] = std::pow(theta, -2.0 * i / head_dim);
  const std::span<const double> steps(frequency);  // this thread's, for all
  parallel_rows(rows, 64, [&, steps](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int i = 0; i < half; ++i) {
        const double angle = static_cast<double>(positions[r]) * steps[i];
        angles.cosine.row(r)[i] = static_cast<float>(std::cos(angle));
        angles.sine.row(r)[i] = static_cast<float>(std::sin(angle));
      }
    }
  });
  return angles;
}

Tensor rope(const Tensor& x, int heads, const RopeAngles& angles) {
  const auto dim = static_cast<int>(2 * angles.cosine.cols());
  ALAMBIC_CHECK(x.cols() >= int64_t{heads} * dim);
  const auto rotate = [heads, dim, angles](Tensor& t, bool inverse) {
    parallel_rows(t.rows(), 64, [&](int64_t begin, int64_t end) {
      kernels::kernels().rope(t.row(begin), t.cols(), static_cast<int>(end - begin), heads, dim,
                              angles.cosine.row(begin), angles.sine.row(begin), inverse);
    });
  };
  Tensor out = x.alias();
  rotate(out, false);
  if (!recording({&x})) return out;
  return record(out, {x}, [x, rotate](const Tensor& grad) {
    Tensor rotated = grad;  // the result's gradient is ours alone by now
    rotate(rotated, true);
    pass_gradient(x, rotated);
  });
}

Tensor round_to_bf16(const Tensor& x, int64_t first) {
  Tensor out = x.alias();
  parallel_rows(x.rows(), 64, [&](int64_t begin, int64_t end) {
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
