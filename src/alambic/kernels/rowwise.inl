// Row-wise and elementwise kernels, written once on vec.inl and compiled per ISA. Contracts:
// table.h.

float dot(const float* a, const float* b, int64_t n) noexcept {
  return reduce_sum(n, [=](int64_t i, auto mask, V sum) {
    return fma(load(a + i, mask), load(b + i, mask), sum);
  });
}

// Squares of floats are exact in double; 32 lanes of double, the tree of fold().
double sum_squares(const float* x, int64_t n) noexcept {
  constexpr int kHalf = kWidth / 2;
  using Half = float __attribute__((vector_size(4 * kHalf), aligned(4), may_alias));
  using Wide = double __attribute__((vector_size(8 * kHalf)));
  Wide lanes[kLanes / kHalf] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int r = 0; r < kLanes / kHalf; ++r) {
      const Half part = *reinterpret_cast<const Half*>(x + i + r * kHalf);
      const Wide wide = __builtin_convertvector(part, Wide);
      lanes[r] += wide * wide;
    }
  }
  double sums[kLanes];
  __builtin_memcpy(sums, lanes, sizeof sums);
  for (int lane = 0; i < n; ++i, ++lane) {
    sums[lane] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  }
  return sums[0];
}

float max(const float* x, int64_t n) noexcept {
  const V lowest = splat(-__builtin_inff());
  return reduce(
      n, -__builtin_inff(),
      [=](int64_t i, auto mask, V best) {
        return larger(keep(load(x + i, mask), lowest, mask), best);
      },
      Larger{});
}

int64_t argmax(const float* x, int64_t n) noexcept {
  const float best = max(x, n);
  const V wanted = splat(best);
  constexpr int kBlock = 8 * kWidth;
  int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    VS same{};
    for (int j = 0; j < kBlock; j += kWidth) same |= load(x + i + j) == wanted;
    int32_t any = 0;
    for (int lane = 0; lane < kWidth; ++lane) any |= same[lane];
    if (any != 0) break;
  }
  for (; i < n; ++i) {
    if (x[i] == best) return i;
  }
  return 0;  // only NaN
}

float exp_sum(const float* x, float shift, float factor, int64_t n, float* out) noexcept {
  const V zero = V{}, by = splat(factor), from = splat(shift);
  return reduce_sum(n, [=](int64_t i, auto mask, V sum) {
    const V e = exp(by * (load(x + i, mask) - from));
    store(out + i, e, mask);
    return sum + keep(e, zero, mask);
  });
}

void add(const float* a, const float* b, int64_t n, float* out) noexcept {
  sweep(n,
        [=](int64_t i, auto mask) { store(out + i, load(a + i, mask) + load(b + i, mask), mask); });
}

void axpy(float alpha, const float* x, int64_t n, float* y) noexcept {
  const V by = splat(alpha);
  sweep(n, [=](int64_t i, auto mask) {
    store(y + i, fma(by, load(x + i, mask), load(y + i, mask)), mask);
  });
}

void scale(float alpha, int64_t n, float* x) noexcept {
  const V by = splat(alpha);
  sweep(n, [=](int64_t i, auto mask) { store(x + i, by * load(x + i, mask), mask); });
}

void rms_norm(const float* x, const float* w, int rows, int dim, float eps, float* y,
              float* inv_rms) noexcept {
  for (int row = 0; row < rows; ++row) {
    const float* in = x + int64_t{row} * dim;
    float* out = y + int64_t{row} * dim;
    const float mean = dot(in, in, dim) / static_cast<float>(dim);
    const float inverse = 1.0f / __builtin_sqrtf(mean + eps);
    const V by = splat(inverse);
    sweep(dim, [=](int64_t i, auto mask) {
      store(out + i, load(in + i, mask) * by * load(w + i, mask), mask);
    });
    if (inv_rms != nullptr) inv_rms[row] = inverse;
  }
}

// With s = inv_rms: dx = s (dy w - x s^2 mean(dy w x)), dw += dy x s.
void rms_norm_backward(const float* dy, const float* x, const float* w, const float* inv_rms,
                       int rows, int dim, float* dx, float* dw) noexcept {
  for (int row = 0; row < rows; ++row) {
    const float* in = x + int64_t{row} * dim;
    const float* slope = dy + int64_t{row} * dim;
    float* out = dx + int64_t{row} * dim;
    const float inverse = inv_rms[row];
    const float sum = reduce_sum(dim, [=](int64_t i, auto mask, V total) {
      return fma(load(slope + i, mask) * load(w + i, mask), load(in + i, mask), total);
    });
    const V by = splat(inverse);
    const V pull = splat(-(inverse * inverse) * (sum / static_cast<float>(dim)));
    sweep(dim, [=](int64_t i, auto mask) {
      const V d = load(slope + i, mask), v = load(in + i, mask);
      store(dw + i, fma(d, v * by, load(dw + i, mask)), mask);
      store(out + i, by * fma(v, pull, d * load(w + i, mask)), mask);
    });
  }
}

void layer_norm(const float* x, const float* w, const float* b, int rows, int dim, float eps,
                float* y, float* mean, float* inv_deviation) noexcept {
  for (int row = 0; row < rows; ++row) {
    const float* in = x + int64_t{row} * dim;
    float* out = y + int64_t{row} * dim;
    const auto size = static_cast<float>(dim);
    const float centre =
        reduce_sum(dim, [=](int64_t i, auto mask, V sum) { return sum + load(in + i, mask); }) /
        size;
    const V zero = V{}, from = splat(centre);
    const float variance = reduce_sum(dim,
                                      [=](int64_t i, auto mask, V sum) {
                                        const V d = keep(load(in + i, mask) - from, zero, mask);
                                        return fma(d, d, sum);
                                      }) /
                           size;
    const float inverse = 1.0f / __builtin_sqrtf(variance + eps);
    const V by = splat(inverse);
    sweep(dim, [=](int64_t i, auto mask) {
      store(out + i, fma((load(in + i, mask) - from) * by, load(w + i, mask), load(b + i, mask)),
            mask);
    });
    if (mean != nullptr) mean[row] = centre;
    if (inv_deviation != nullptr) inv_deviation[row] = inverse;
  }
}

// With n the normed row before gain and bias, g = dy w: dx = s (g - mean(g) - n mean(g n)),
// dw += dy n, db += dy.
void layer_norm_backward(const float* dy, const float* x, const float* w, const float* mean,
                         const float* inv_deviation, int rows, int dim, float* dx, float* dw,
                         float* db) noexcept {
  for (int row = 0; row < rows; ++row) {
    const float* in = x + int64_t{row} * dim;
    const float* slope = dy + int64_t{row} * dim;
    float* out = dx + int64_t{row} * dim;
    const auto size = static_cast<float>(dim);
    const V from = splat(mean[row]), by = splat(inv_deviation[row]);
    const float pull = dot(slope, w, dim) / size;
    const float turn = reduce_sum(dim,
                                  [=](int64_t i, auto mask, V total) {
                                    const V n = (load(in + i, mask) - from) * by;
                                    return fma(load(slope + i, mask) * load(w + i, mask), n, total);
                                  }) /
                       size;
    const V even = splat(pull), along = splat(turn);
    sweep(dim, [=](int64_t i, auto mask) {
      const V d = load(slope + i, mask), n = (load(in + i, mask) - from) * by;
      store(dw + i, fma(d, n, load(dw + i, mask)), mask);
      store(db + i, d + load(db + i, mask), mask);
      store(out + i, by * (d * load(w + i, mask) - even - n * along), mask);
    });
  }
}

// The normal distribution below x, by formula 7.1.26 of Abramowitz & Stegun: 1e-7 of 1.
inline V normal_below(V x, V density) {
  const V size = x < V{} ? splat(0.0f) - x : x;
  const V t = splat(1.0f) / fma(splat(0.2316418882f), size, splat(1.0f));
  V p = splat(1.061405429f);
  p = fma(p, t, splat(-1.453152027f));
  p = fma(p, t, splat(1.421413741f));
  p = fma(p, t, splat(-0.284496736f));
  p = fma(p, t, splat(0.254829592f));
  // e^(-x²/2) = density √(2π)
  const V tail = p * t * density * splat(1.2533141373f);
  return x < V{} ? tail : splat(1.0f) - tail;
}
inline V normal_density(V x) { return exp(x * x * splat(-0.5f)) * splat(0.3989422804f); }

constexpr float kGeluRate = 1.5957691216f;  // 2 √(2/π): tanh(u) is 2 sigmoid(2u) - 1
constexpr float kGeluCubic = 0.044715f;

void activate(Activation kind, const float* x, int64_t n, float* h) noexcept {
  if (kind == Activation::kGelu) {
    sweep(n, [=](int64_t i, auto mask) {
      const V v = load(x + i, mask);
      store(h + i, v * normal_below(v, normal_density(v)), mask);
    });
  } else {
    sweep(n, [=](int64_t i, auto mask) {
      const V v = load(x + i, mask);
      const V u = v * fma(v * v, splat(kGeluRate * kGeluCubic), splat(kGeluRate));
      store(h + i, v * sigmoid(u), mask);
    });
  }
}

void activate_backward(Activation kind, const float* dh, const float* x, int64_t n,
                       float* dx) noexcept {
  if (kind == Activation::kGelu) {
    sweep(n, [=](int64_t i, auto mask) {
      const V v = load(x + i, mask), density = normal_density(v);
      store(dx + i, load(dh + i, mask) * fma(v, density, normal_below(v, density)), mask);
    });
  } else {
    sweep(n, [=](int64_t i, auto mask) {
      const V v = load(x + i, mask), square = v * v;
      const V s = sigmoid(v * fma(square, splat(kGeluRate * kGeluCubic), splat(kGeluRate)));
      const V rate = fma(square, splat(3.0f * kGeluRate * kGeluCubic), splat(kGeluRate));
      store(dx + i, load(dh + i, mask) * fma(v * s * (splat(1.0f) - s), rate, s), mask);
    });
  }
}

void silu_mul(const float* g, const float* u, int64_t n, float* h) noexcept {
  sweep(n, [=](int64_t i, auto mask) {
    const V gate = load(g + i, mask);
    store(h + i, gate * sigmoid(gate) * load(u + i, mask), mask);
  });
}

// silu'(g) = s + g s (1 - s), s = sigmoid(g).
void silu_mul_backward(const float* dh, const float* g, const float* u, int64_t n, float* dg,
                       float* du) noexcept {
  sweep(n, [=](int64_t i, auto mask) {
    const V gate = load(g + i, mask), up = load(u + i, mask), slope = load(dh + i, mask);
    const V s = sigmoid(gate);
    const V silu = gate * s;
    store(du + i, slope * silu, mask);
    store(dg + i, slope * up * fma(silu, splat(1.0f) - s, s), mask);
  });
}

void softmax_backward(const float* p, const float* dp, float mean, float scale, int64_t n,
                      float* ds) noexcept {
  const V offset = splat(mean), factor = splat(scale);
  sweep(n, [=](int64_t i, auto mask) {
    store(ds + i, load(p + i, mask) * (load(dp + i, mask) - offset) * factor, mask);
  });
}

inline void rotate_halves(float* lower, float* upper, int half, const float* c, const float* s,
                          V sign) {
  sweep(half, [=](int64_t i, auto mask) {
    const V a = load(lower + i, mask), b = load(upper + i, mask);
    const V co = load(c + i, mask), si = sign * load(s + i, mask);
    store(lower + i, fma(a, co, splat(0.0f) - b * si), mask);
    store(upper + i, fma(b, co, a * si), mask);
  });
}

inline void rotate_neighbours(float* x, int half, const float* c, const float* s, float sign) {
  for (int i = 0; i < half; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1], si = sign * s[i];
    x[2 * i] = a * c[i] - b * si;
    x[2 * i + 1] = b * c[i] + a * si;
  }
}

void rope(float* x, const RopeLayout& layout, const float* cosine, const float* sine,
          bool inverse) noexcept {
  const int half = layout.rotated / 2;
  const float sign = inverse ? -1.0f : 1.0f;
  for (int row = 0; row < layout.rows; ++row) {
    const float* c = cosine + int64_t{row} * half;
    const float* s = sine + int64_t{row} * half;
    for (int head = 0; head < layout.heads; ++head) {
      float* at = x + row * layout.ld + int64_t{head} * layout.head_dim;
      if (layout.interleaved) {
        rotate_neighbours(at, half, c, s, sign);
      } else {
        rotate_halves(at, at + half, half, c, s, splat(sign));
      }
    }
  }
}

void to_bf16(const float* in, int64_t n, uint16_t* out) noexcept {
  using Half = uint16_t __attribute__((vector_size(2 * kWidth)));
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const VU words = nearest_bf16<VU>(load(in + i)) >> 16;
    *reinterpret_cast<LooseH*>(out + i) = __builtin_convertvector(words, Half);
  }
  for (; i < n; ++i) {
    out[i] = static_cast<uint16_t>(nearest_bf16<VU>(splat(in[i]))[0] >> 16);
  }
}

void from_bf16(const uint16_t* in, int64_t n, float* out) noexcept {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    store(out + i, widened(in + i));
  }
  for (; i < n; ++i) {
    const uint32_t word = static_cast<uint32_t>(in[i]) << 16;
    __builtin_memcpy(out + i, &word, sizeof word);
  }
}

void adamw(const AdamW& step, const float* g, int64_t n, float* w, float* m, float* v) noexcept {
  const V beta1 = splat(step.beta1), rest1 = splat(1.0f - step.beta1);
  const V beta2 = splat(step.beta2), rest2 = splat(1.0f - step.beta2);
  const V unbias2 = splat(1.0f / step.bias2), eps = splat(step.eps);
  const V rate = splat(-step.lr / step.bias1), gscale = splat(step.grad_scale);
  const V decay = splat(1.0f - step.lr * step.weight_decay);
  sweep(n, [=](int64_t i, auto mask) {
    const V grad = gscale * load(g + i, mask);
    const V first = fma(beta1, load(m + i, mask), rest1 * grad);
    const V second = fma(beta2, load(v + i, mask), rest2 * grad * grad);
    store(m + i, first, mask);
    store(v + i, second, mask);
    const V change = first / (sqrt(second * unbias2) + eps);
    store(w + i, fma(rate, change, decay * load(w + i, mask)), mask);
  });
}

// 4x4 blocks: two rounds of interleaving, (0,2) (1,3), then neighbours.
inline void transpose_4x4(V4 (&r)[4]) {
  const V4 a = __builtin_shuffle(r[0], r[2], VU4{0, 4, 1, 5});
  const V4 b = __builtin_shuffle(r[0], r[2], VU4{2, 6, 3, 7});
  const V4 c = __builtin_shuffle(r[1], r[3], VU4{0, 4, 1, 5});
  const V4 d = __builtin_shuffle(r[1], r[3], VU4{2, 6, 3, 7});
  r[0] = __builtin_shuffle(a, c, VU4{0, 4, 1, 5});
  r[1] = __builtin_shuffle(a, c, VU4{2, 6, 3, 7});
  r[2] = __builtin_shuffle(b, d, VU4{0, 4, 1, 5});
  r[3] = __builtin_shuffle(b, d, VU4{2, 6, 3, 7});
}

void transpose(const float* in, int64_t ld_in, int rows, int cols, float* out,
               int64_t ld_out) noexcept {
  // Strips of 16 columns: the 16 output rows being written stay in the first-level cache and TLB.
  constexpr int kStrip = 16;
  for (int c0 = 0; c0 < cols; c0 += kStrip) {
    const int c1 = c0 + kStrip < cols ? c0 + kStrip : cols;
    int r = 0;
    for (; r + 4 <= rows; r += 4) {
      int c = c0;
      for (; c + 4 <= c1; c += 4) {
        V4 block[4];
        for (int i = 0; i < 4; ++i) {
          block[i] = *reinterpret_cast<const LooseV4*>(in + (r + i) * ld_in + c);
        }
        transpose_4x4(block);
        for (int i = 0; i < 4; ++i) {
          *reinterpret_cast<LooseV4*>(out + (c + i) * ld_out + r) = block[i];
        }
      }
      for (; c < c1; ++c) {
        for (int i = 0; i < 4; ++i) out[c * ld_out + r + i] = in[(r + i) * ld_in + c];
      }
    }
    for (; r < rows; ++r) {
      for (int c = c0; c < c1; ++c) out[c * ld_out + r] = in[r * ld_in + c];
    }
  }
}
