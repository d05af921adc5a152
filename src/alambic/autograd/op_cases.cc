#include "alambic/autograd/op_cases.h"

#include <fmt/format.h>

#include <cmath>

#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"

namespace alambic {
namespace {

// x[rows, in] w[out, in]ᵀ
Doubles times_transposed(const Doubles& x, const Doubles& w, int64_t in) {
  const int64_t rows = static_cast<int64_t>(x.size()) / in,
                out = static_cast<int64_t>(w.size()) / in;
  Doubles y(static_cast<size_t>(rows * out));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < out; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < in; ++i) sum += x[r * in + i] * w[o * in + i];
      y[r * out + o] = sum;
    }
  }
  return y;
}

Tensor one_row(const Tensor& x, int64_t row) {
  return Tensor::from({1, x.cols()},
                      std::span<const float>(x.row(row), static_cast<size_t>(x.cols())));
}

struct LinearShape {
  int64_t rows, in, out;
};

OpCase linear_case(LinearShape s, bool with_bias, Precision precision) {
  const bool bf16 = precision == Precision::kBf16;
  OpCase op{.name = fmt::format("linear/{}x{}x{}{}{}", s.rows, s.in, s.out,
                                with_bias ? "/bias" : "", bf16 ? "/bf16" : ""),
            .inputs = {{s.rows, s.in}, {s.out, s.in}},
            .run =
                [=](const std::vector<Tensor>& in) {
                  return linear(in[0], in[1], precision, with_bias ? in[2] : Tensor());
                },
            .reference =
                [=](const std::vector<Doubles>& in) {
                  Doubles y = times_transposed(in[0], in[1], s.in);
                  for (size_t i = 0; with_bias && i < y.size(); ++i) y[i] += in[2][i % s.out];
                  return y;
                },
            .row_alone =
                [=](const std::vector<Tensor>& in, int64_t row) {
                  return linear(one_row(in[0], row), in[1], precision,
                                with_bias ? in[2] : Tensor());
                },
            .flops = 2.0 * static_cast<double>(s.rows * s.in * s.out)};
  if (with_bias) op.inputs.push_back({s.out});
  // Each operand carries 8 bits, so a sum of products is off by about 2^-9 of its terms' norm.
  if (bf16) op.tolerance = op.gradient_tolerance = 0.01;
  return op;
}

constexpr float kEps = 1e-5F;

Doubles normed(const Doubles& x, const Doubles& w) {
  const int64_t dim = static_cast<int64_t>(w.size()), rows = static_cast<int64_t>(x.size()) / dim;
  Doubles y(x.size());
  for (int64_t r = 0; r < rows; ++r) {
    double squares = 0;
    for (int64_t i = 0; i < dim; ++i) squares += x[r * dim + i] * x[r * dim + i];
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(dim) + double{kEps});
    for (int64_t i = 0; i < dim; ++i) y[r * dim + i] = x[r * dim + i] * inverse * w[i];
  }
  return y;
}

OpCase rms_norm_case(int64_t rows, int64_t dim) {
  return {.name = fmt::format("rms_norm/{}x{}", rows, dim),
          .inputs = {{rows, dim}, {dim}},
          .run = [](const std::vector<Tensor>& in) { return rms_norm(in[0], in[1], kEps); },
          .reference = [](const std::vector<Doubles>& in) { return normed(in[0], in[1]); },
          .row_alone = [](const std::vector<Tensor>& in,
                          int64_t row) { return rms_norm(one_row(in[0], row), in[1], kEps); }};
}

// Three weights of different widths, as queries, keys and values have.
OpCase norm_linear_case(LinearShape s, Precision precision) {
  const bool bf16 = precision == Precision::kBf16;
  const int64_t widths[] = {s.out, s.out / 3 + 1, s.out / 3 + 1};
  const auto run = [=](const Tensor& x, const std::vector<Tensor>& in) {
    return norm_linear(x, in[1], kEps, std::span(in).subspan(2), precision);
  };
  OpCase op{.name = fmt::format("norm_linear/{}x{}x{}{}", s.rows, s.in, s.out, bf16 ? "/bf16" : ""),
            .inputs = {{s.rows, s.in}, {s.in}},
            .run = [=](const std::vector<Tensor>& in) { return run(in[0], in); },
            .reference =
                [=](const std::vector<Doubles>& in) {
                  const Doubles n = normed(in[0], in[1]);
                  Doubles y;
                  for (int64_t r = 0; r < s.rows; ++r) {
                    const Doubles row(&n[r * s.in], &n[r * s.in] + s.in);
                    for (size_t i = 2; i < 5; ++i) {
                      const Doubles part = times_transposed(row, in[i], s.in);
                      y.insert(y.end(), part.begin(), part.end());
                    }
                  }
                  return y;
                },
            .row_alone = [=](const std::vector<Tensor>& in,
                             int64_t row) { return run(one_row(in[0], row), in); }};
  for (const int64_t width : widths) {
    op.inputs.push_back({width, s.in});
    op.flops += 2.0 * static_cast<double>(s.rows * s.in * width);
  }
  if (bf16) op.tolerance = op.gradient_tolerance = 0.01;
  return op;
}

OpCase gated_mlp_case(LinearShape s, Precision precision) {
  const bool bf16 = precision == Precision::kBf16;
  const auto run = [=](const Tensor& x, const std::vector<Tensor>& in) {
    return gated_mlp(x, {in[1], in[2], in[3], in[4]}, kEps, precision);
  };
  OpCase op{.name = fmt::format("gated_mlp/{}x{}x{}{}", s.rows, s.in, s.out, bf16 ? "/bf16" : ""),
            .inputs = {{s.rows, s.in}, {s.in}, {s.out, s.in}, {s.out, s.in}, {s.in, s.out}},
            .run = [=](const std::vector<Tensor>& in) { return run(in[0], in); },
            .reference =
                [=](const std::vector<Doubles>& in) {
                  const Doubles n = normed(in[0], in[1]);
                  const Doubles gate = times_transposed(n, in[2], s.in);
                  Doubles h = times_transposed(n, in[3], s.in);
                  for (size_t i = 0; i < h.size(); ++i) h[i] *= gate[i] / (1 + std::exp(-gate[i]));
                  return times_transposed(h, in[4], s.out);
                },
            .row_alone = [=](const std::vector<Tensor>& in,
                             int64_t row) { return run(one_row(in[0], row), in); },
            .flops = 6.0 * static_cast<double>(s.rows * s.in * s.out)};
  // Three products in a row, and gate and up are kept in bf16.
  if (bf16) op.tolerance = op.gradient_tolerance = 0.03;
  return op;
}

OpCase embedding_case(int64_t vocab, int64_t dim, int64_t rows) {
  std::vector<TokenId> ids;
  for (int64_t r = 0; r < rows; ++r)
    ids.push_back(static_cast<TokenId>(r * r * 7 % vocab));  // ids repeat
  return {
      .name = fmt::format("embedding/{}x{}x{}", vocab, dim, rows),
      .inputs = {{vocab, dim}},
      .run = [=](const std::vector<Tensor>& in) { return embedding(in[0], ids); },
      .reference =
          [=](const std::vector<Doubles>& in) {
            Doubles y;
            for (const TokenId id : ids) {
              for (int64_t i = 0; i < dim; ++i) y.push_back(in[0][id * dim + i]);
            }
            return y;
          },
      .row_alone = [=](const std::vector<Tensor>& in,
                       int64_t row) { return embedding(in[0], std::span(ids).subspan(row, 1)); }};
}

OpCase gather_case(int64_t rows, int64_t dim) {
  const std::vector<int64_t> index = {rows - 1, 0, 3, 3, rows / 2, 3};
  return {.name = fmt::format("gather_rows/{}x{}", rows, dim),
          .inputs = {{rows, dim}},
          .run = [=](const std::vector<Tensor>& in) { return gather_rows(in[0], index); },
          .reference =
              [=](const std::vector<Doubles>& in) {
                Doubles y;
                for (const int64_t r : index)
                  y.insert(y.end(), &in[0][r * dim], &in[0][r * dim] + dim);
                return y;
              },
          .row_alone =
              [=](const std::vector<Tensor>& in, int64_t row) {
                return gather_rows(in[0], std::span(index).subspan(static_cast<size_t>(row), 1));
              }};
}

// For ops that write into their input's storage: a copy that the graph knows about.
Tensor copied(const Tensor& x) { return add(x, Tensor::zeros(x.shape())); }

OpCase add_case(int64_t rows, int64_t dim) {
  return {.name = fmt::format("add/{}x{}", rows, dim),
          .inputs = {{rows, dim}, {rows, dim}},
          .run = [=](const std::vector<Tensor>& in) { return add(in[0], copied(in[1])); },
          .reference =
              [](const std::vector<Doubles>& in) {
                Doubles y = in[0];
                for (size_t i = 0; i < y.size(); ++i) y[i] += in[1][i];
                return y;
              },
          .row_alone = [](const std::vector<Tensor>& in,
                          int64_t row) { return add(one_row(in[0], row), one_row(in[1], row)); }};
}

// The mask is the op's own, read off a tensor of ones; what is checked is that the same mask scales
// the values and comes back in the backward pass. That it drops the right share is a test of its
// own.
OpCase dropout_case(int64_t rows, int64_t dim) {
  constexpr double kDrop = 0.3;
  constexpr uint64_t kSeed = 11;
  return {.name = fmt::format("dropout/{}x{}", rows, dim),
          .inputs = {{rows, dim}},
          .run = [](const std::vector<Tensor>& in) { return dropout(in[0], kDrop, kSeed); },
          .reference =
              [=](const std::vector<Doubles>& in) {
                const Tensor ones = Tensor::from(
                    {rows, dim}, std::vector<float>(static_cast<size_t>(rows * dim), 1.0F));
                const Tensor mask = dropout(ones, kDrop, kSeed);
                Doubles y = in[0];
                for (size_t i = 0; i < y.size(); ++i)
                  y[i] *= mask.values()[i] == 0 ? 0 : 1 / (1 - kDrop);
                return y;
              }};
}

OpCase rope_case(int64_t rows, int heads, int head_dim) {
  constexpr double kTheta = 10000;
  std::vector<int64_t> positions;
  for (int64_t r = 0; r < rows; ++r) positions.push_back(r % 50 * 3);
  // One head more than is rotated.
  const int64_t width = int64_t{heads + 1} * head_dim;
  const auto rotate = [=](const Tensor& x, std::span<const int64_t> at) {
    return rope(copied(x), heads, rope_angles(at, head_dim, kTheta));
  };
  return {.name = fmt::format("rope/{}x{}x{}", rows, heads, head_dim),
          .inputs = {{rows, width}},
          .run = [=](const std::vector<Tensor>& in) { return rotate(in[0], positions); },
          .reference =
              [=](const std::vector<Doubles>& in) {
                Doubles y = in[0];
                const int half = head_dim / 2;
                for (int64_t pair = 0; pair < rows * heads; ++pair) {
                  const int64_t at = pair / heads * width + pair % heads * head_dim;
                  const double position =
                      static_cast<double>(positions[static_cast<size_t>(pair / heads)]);
                  for (int i = 0; i < half; ++i) {
                    const double angle = position * std::pow(kTheta, -2.0 * i / head_dim);
                    const double a = in[0][at + i], b = in[0][at + half + i];
                    y[at + i] = a * std::cos(angle) - b * std::sin(angle);
                    y[at + half + i] = b * std::cos(angle) + a * std::sin(angle);
                  }
                }
                return y;
              },
          .row_alone =
              [=](const std::vector<Tensor>& in, int64_t row) {
                return rotate(one_row(in[0], row), std::span(positions).subspan(row, 1));
              }};
}

// The reference leaves the numbers as they are: rounding is off by at most 2^-8 of each.
OpCase round_case(int64_t rows, int64_t cols, int64_t first) {
  return {
      .name = fmt::format("round_to_bf16/{}x{}", rows, cols),
      .inputs = {{rows, cols}},
      .run = [=](const std::vector<Tensor>& in) { return round_to_bf16(copied(in[0]), first); },
      .reference = [](const std::vector<Doubles>& in) { return in[0]; },
      .row_alone = [=](const std::vector<Tensor>& in,
                       int64_t row) { return round_to_bf16(copied(one_row(in[0], row)), first); },
      .tolerance = 1.0 / 256};
}

OpCase timed(OpCase op) {
  op.timed = true;
  return op;
}

}  // namespace

void add_row_cases(std::vector<OpCase>& table) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    table.push_back(linear_case({37, 29, 23}, false, precision));
    table.push_back(linear_case({37, 29, 23}, true, precision));
    table.push_back(linear_case({250, 40, 270}, true, precision));  // several tasks each way
    table.push_back(linear_case({5, 1030, 19}, false, precision));  // several blocks of k
    table.push_back(linear_case({1, 8, 1}, true, precision));
    table.push_back(norm_linear_case({37, 29, 23}, precision));
    table.push_back(norm_linear_case({130, 520, 30}, precision));  // several blocks of k
    table.push_back(gated_mlp_case({21, 17, 43}, precision));
    table.push_back(timed(linear_case({2048, 288, 288}, false, precision)));
    table.push_back(timed(gated_mlp_case({2048, 288, 768}, precision)));
  }
  table.push_back(rms_norm_case(130, 33));
  table.push_back(rms_norm_case(1, 1));
  table.push_back(timed(rms_norm_case(2048, 288)));
  table.push_back(embedding_case(19, 13, 40));
  table.push_back(timed(embedding_case(32000, 288, 2048)));
  table.push_back(gather_case(9, 21));
  table.push_back(timed(gather_case(2048, 288)));
  table.push_back(add_case(300, 71));
  table.push_back(timed(add_case(2048, 288)));
  table.push_back(dropout_case(300, 71));
  table.push_back(timed(dropout_case(2048, 288)));
  table.push_back(rope_case(70, 3, 16));
  table.push_back(rope_case(5, 1, 10));
  table.push_back(timed(rope_case(2048, 6, 48)));
  table.push_back(round_case(70, 45, 20));
}

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> table = [] {
    std::vector<OpCase> all;
    add_row_cases(all);
    add_attention_cases(all);
    add_head_cases(all);
    return all;
  }();
  return table;
}

std::vector<Tensor> op_inputs(const OpCase& op, uint64_t seed, bool trainable) {
  std::vector<Tensor> inputs;
  for (const Shape& shape : op.inputs) {
    Rng rng(seed, inputs.size());
    inputs.push_back(Tensor::empty(shape));
    for (float& x : inputs.back().values()) x = static_cast<float>(0.5 * rng.normal());
    inputs.back().set_requires_grad(trainable);
  }
  return inputs;
}

Tensor weighted_sum(const Tensor& out, const Tensor& weights) {
  ALAMBIC_CHECK(out.size() == weights.size());
  double sum = 0;
  for (int64_t i = 0; i < out.size(); ++i) sum += double{out.data()[i]} * double{weights.data()[i]};
  return record(Tensor::from({1}, std::vector<float>{static_cast<float>(sum)}), {out},
                [out, weights](const Tensor&) { add_gradient(out, weights); });
}

}  // namespace alambic
