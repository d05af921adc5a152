#include "alambic/autograd/op_cases.h"

#include <fmt/format.h>

#include <cmath>

#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"

namespace alambic {
namespace {

constexpr float kHeadNormEps = 1e-5F;

Tensor one_row(const Tensor& x, int64_t row) {
  return Tensor::from({1, x.cols()},
                      std::span<const float>(x.row(row), static_cast<size_t>(x.cols())));
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

struct RopeShape {
  int64_t rows;
  int heads, head_dim, rotated;
  bool interleaved = false;
};

OpCase rope_case(const RopeShape& s) {
  constexpr double kAmplitude = 1.25;
  std::vector<int64_t> positions;
  for (int64_t r = 0; r < s.rows; ++r) positions.push_back(r % 50 * 3);
  std::vector<double> frequencies;
  frequencies.reserve(static_cast<size_t>(s.rotated / 2));
  for (int i = 0; i < s.rotated / 2; ++i)
    frequencies.push_back(std::pow(10000.0, -2.0 * i / s.rotated));
  // One head more than is rotated.
  const int64_t width = int64_t{s.heads + 1} * s.head_dim;
  const auto rotate = [=](const Tensor& x, std::span<const int64_t> at) {
    return rope(copied(x), s.heads, s.head_dim,
                rope_angles(at, frequencies, kAmplitude, s.interleaved));
  };
  return {.name = fmt::format("rope/{}x{}x{}of{}{}", s.rows, s.heads, s.rotated, s.head_dim,
                              s.interleaved ? "/interleaved" : ""),
          .inputs = {{s.rows, width}},
          .run = [=](const std::vector<Tensor>& in) { return rotate(in[0], positions); },
          .reference =
              [=](const std::vector<Doubles>& in) {
                Doubles y = in[0];
                const int half = s.rotated / 2;
                for (int64_t head = 0; head < s.rows * s.heads; ++head) {
                  const int64_t at = head / s.heads * width + head % s.heads * s.head_dim;
                  const double position =
                      static_cast<double>(positions[static_cast<size_t>(head / s.heads)]);
                  for (int i = 0; i < half; ++i) {
                    const int64_t first = at + (s.interleaved ? 2 * i : i),
                                  second = s.interleaved ? first + 1 : first + half;
                    const double angle = position * frequencies[static_cast<size_t>(i)];
                    const double c = kAmplitude * std::cos(angle), d = kAmplitude * std::sin(angle);
                    y[first] = in[0][first] * c - in[0][second] * d;
                    y[second] = in[0][second] * c + in[0][first] * d;
                  }
                }
                return y;
              },
          .row_alone =
              [=](const std::vector<Tensor>& in, int64_t row) {
                return rotate(one_row(in[0], row), std::span(positions).subspan(row, 1));
              }};
}

// Queries, keys and something that stays as it is.
OpCase norm_heads_case(int64_t rows, int heads, int kv_heads, int64_t head_dim) {
  const int64_t width = (heads + 2 * kv_heads) * head_dim;
  const auto run = [=](const Tensor& x, const std::vector<Tensor>& in) {
    const HeadNorm norms[] = {{heads, {in[1], {}, kHeadNormEps}},
                              {kv_heads, {in[2], {}, kHeadNormEps}}};
    return norm_heads(copied(x), norms);
  };
  return {.name = fmt::format("norm_heads/{}x{}+{}x{}", rows, heads, kv_heads, head_dim),
          .inputs = {{rows, width}, {head_dim}, {head_dim}},
          .run = [=](const std::vector<Tensor>& in) { return run(in[0], in); },
          .reference =
              [=](const std::vector<Doubles>& in) {
                Doubles y = in[0];
                for (int64_t r = 0; r < rows; ++r) {
                  for (int head = 0; head < heads + kv_heads; ++head) {
                    const Doubles& w = head < heads ? in[1] : in[2];
                    double* at = &y[r * width + head * head_dim];
                    double squares = 0;
                    for (int64_t i = 0; i < head_dim; ++i) squares += at[i] * at[i];
                    const double size = static_cast<double>(head_dim);
                    const double inverse = 1 / std::sqrt(squares / size + double{kHeadNormEps});
                    for (int64_t i = 0; i < head_dim; ++i) at[i] *= inverse * w[i];
                  }
                }
                return y;
              },
          .row_alone = [=](const std::vector<Tensor>& in,
                           int64_t row) { return run(one_row(in[0], row), in); }};
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
  table.push_back(embedding_case(19, 13, 40));
  table.push_back(timed(embedding_case(32000, 288, 2048)));
  table.push_back(gather_case(9, 21));
  table.push_back(timed(gather_case(2048, 288)));
  table.push_back(add_case(300, 71));
  table.push_back(timed(add_case(2048, 288)));
  table.push_back(dropout_case(300, 71));
  table.push_back(timed(dropout_case(2048, 288)));
  table.push_back(rope_case({70, 3, 16, 16}));
  table.push_back(rope_case({5, 1, 10, 10}));
  table.push_back(rope_case({70, 3, 16, 4}));
  table.push_back(rope_case({70, 3, 16, 12, true}));
  table.push_back(timed(rope_case({2048, 6, 48, 48})));
  table.push_back(norm_heads_case(70, 3, 2, 16));
  table.push_back(round_case(70, 45, 20));
}

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> table = [] {
    std::vector<OpCase> all;
    add_row_cases(all);
    add_linear_cases(all);
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
