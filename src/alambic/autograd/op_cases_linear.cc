// The cases of ops with weights: products, norms in front of them, and the two kinds of MLP.
#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "alambic/autograd/op_cases.h"
#include "alambic/autograd/ops.h"

namespace alambic {
namespace {

constexpr float kNormEps = 1e-5F;
constexpr int64_t kRank = 3;
constexpr float kScale = 1.5F;

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

Tensor single_row(const Tensor& x, int64_t row) {
  return Tensor::from({1, x.cols()},
                      std::span<const float>(x.row(row), static_cast<size_t>(x.cols())));
}

struct LinearShape {
  int64_t rows, in, out;
  double flops() const { return 2.0 * static_cast<double>(rows * in * out); }
};

// What stands in front of and beside a weight.
struct Extras {
  bool layer_norm = false, bias = false, low_rank = false;
  std::string name() const {
    return std::string(layer_norm ? "/layer_norm" : "") + (bias ? "/bias" : "") +
           (low_rank ? "/low_rank" : "");
  }
};

// Hands out an op's inputs one after another, and lists their shapes in the same order.
template <class Input>
class Inputs {
 public:
  Inputs(const std::vector<Input>& in, size_t next) : in_(in), next_(next) {}
  const Input& next() { return in_[next_++]; }

 private:
  const std::vector<Input>& in_;
  size_t next_;
};

LinearWeights weights_from(Inputs<Tensor>& in, const Extras& extras) {
  LinearWeights w{in.next(), {}};
  if (extras.bias) w.bias = in.next();
  if (extras.low_rank) {
    w.low_rank.a = in.next();
    w.low_rank.b = in.next();
    w.low_rank.scale = kScale;
  }
  return w;
}
void list_shapes(const LinearShape& s, const Extras& extras, std::vector<Shape>& shapes) {
  shapes.push_back({s.out, s.in});
  if (extras.bias) shapes.push_back({s.out});
  if (extras.low_rank) {
    shapes.push_back({kRank, s.in});
    shapes.push_back({s.out, kRank});
  }
}
Doubles applied(Inputs<Doubles>& in, const Extras& extras, const Doubles& x, int64_t width) {
  Doubles y = times_transposed(x, in.next(), width);
  if (extras.bias) {
    const Doubles& bias = in.next();
    for (size_t i = 0; i < y.size(); ++i) y[i] += bias[i % bias.size()];
  }
  if (extras.low_rank) {
    const Doubles inner = times_transposed(x, in.next(), width);
    const Doubles part = times_transposed(inner, in.next(), kRank);
    for (size_t i = 0; i < y.size(); ++i) y[i] += double{kScale} * part[i];
  }
  return y;
}

Norm norm_from(Inputs<Tensor>& in, const Extras& extras) {
  Norm norm{in.next(), {}, kNormEps};
  if (extras.layer_norm) norm.bias = in.next();
  return norm;
}
void list_norm_shapes(int64_t dim, const Extras& extras, std::vector<Shape>& shapes) {
  shapes.push_back({dim});
  if (extras.layer_norm) shapes.push_back({dim});
}
Doubles normed(Inputs<Doubles>& in, const Extras& extras, const Doubles& x) {
  const Doubles& w = in.next();
  const Doubles bias = extras.layer_norm ? in.next() : Doubles(w.size());
  const int64_t dim = static_cast<int64_t>(w.size()), rows = static_cast<int64_t>(x.size()) / dim;
  Doubles y(x.size());
  for (int64_t r = 0; r < rows; ++r) {
    const double* row = &x[r * dim];
    double mean = 0, squares = 0;
    if (extras.layer_norm) {
      for (int64_t i = 0; i < dim; ++i) mean += row[i] / static_cast<double>(dim);
    }
    for (int64_t i = 0; i < dim; ++i) squares += (row[i] - mean) * (row[i] - mean);
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(dim) + double{kNormEps});
    for (int64_t i = 0; i < dim; ++i) y[r * dim + i] = (row[i] - mean) * inverse * w[i] + bias[i];
  }
  return y;
}

// Each operand carries 8 bits, so a sum of products is off by about 2^-9 of its terms' norm.
void loosen(OpCase& op, Precision precision, double tolerance) {
  if (precision == Precision::kBf16) op.tolerance = op.gradient_tolerance = tolerance;
}

const char* suffix(Precision precision) { return precision == Precision::kBf16 ? "/bf16" : ""; }

OpCase linear_case(const LinearShape& s, const Extras& extras, Precision precision) {
  const auto run = [=](const Tensor& x, const std::vector<Tensor>& all) {
    Inputs<Tensor> in(all, 1);
    return linear(x, weights_from(in, extras), precision);
  };
  OpCase op{.name = fmt::format("linear/{}x{}x{}{}{}", s.rows, s.in, s.out, extras.name(),
                                suffix(precision)),
            .inputs = {{s.rows, s.in}},
            .run = [=](const std::vector<Tensor>& in) { return run(in[0], in); },
            .reference =
                [=](const std::vector<Doubles>& all) {
                  Inputs<Doubles> in(all, 1);
                  return applied(in, extras, all[0], s.in);
                },
            .row_alone = [=](const std::vector<Tensor>& in,
                             int64_t row) { return run(single_row(in[0], row), in); },
            .flops = s.flops()};
  list_shapes(s, extras, op.inputs);
  loosen(op, precision, 0.01);
  return op;
}

OpCase norm_case(int64_t rows, int64_t dim, const Extras& extras) {
  const auto run = [=](const Tensor& x, const std::vector<Tensor>& all) {
    Inputs<Tensor> in(all, 1);
    return norm_rows(x, norm_from(in, extras));
  };
  OpCase op{.name = fmt::format("norm/{}x{}{}", rows, dim, extras.name()),
            .inputs = {{rows, dim}},
            .run = [=](const std::vector<Tensor>& in) { return run(in[0], in); },
            .reference =
                [=](const std::vector<Doubles>& all) {
                  Inputs<Doubles> in(all, 1);
                  return normed(in, extras, all[0]);
                },
            .row_alone = [=](const std::vector<Tensor>& in,
                             int64_t row) { return run(single_row(in[0], row), in); }};
  list_norm_shapes(dim, extras, op.inputs);
  return op;
}

// Three weights of different widths, as queries, keys and values have.
OpCase norm_linear_case(const LinearShape& s, const Extras& extras, Precision precision) {
  const int64_t widths[] = {s.out, s.out / 3 + 1, s.out / 3 + 1};
  const auto run = [=](const Tensor& x, const std::vector<Tensor>& all) {
    Inputs<Tensor> in(all, 1);
    const Norm norm = norm_from(in, extras);
    std::vector<LinearWeights> weights;
    weights.reserve(3);
    for (int i = 0; i < 3; ++i) weights.push_back(weights_from(in, extras));
    return norm_linear(x, norm, weights, precision);
  };
  OpCase op{.name = fmt::format("norm_linear/{}x{}x{}{}{}", s.rows, s.in, s.out, extras.name(),
                                suffix(precision)),
            .inputs = {{s.rows, s.in}},
            .run = [=](const std::vector<Tensor>& in) { return run(in[0], in); },
            .reference =
                [=](const std::vector<Doubles>& all) {
                  Inputs<Doubles> in(all, 1);
                  const Doubles n = normed(in, extras, all[0]);
                  Doubles parts[3];
                  for (Doubles& part : parts) part = applied(in, extras, n, s.in);
                  Doubles y;
                  for (int64_t r = 0; r < s.rows; ++r) {
                    for (int i = 0; i < 3; ++i) {
                      const double* row = &parts[i][r * widths[i]];
                      y.insert(y.end(), row, row + widths[i]);
                    }
                  }
                  return y;
                },
            .row_alone = [=](const std::vector<Tensor>& in,
                             int64_t row) { return run(single_row(in[0], row), in); }};
  list_norm_shapes(s.in, extras, op.inputs);
  for (const int64_t width : widths) {
    list_shapes({s.rows, s.in, width}, extras, op.inputs);
    op.flops += 2.0 * static_cast<double>(s.rows * s.in * width);
  }
  loosen(op, precision, 0.01);
  return op;
}

OpCase gated_mlp_case(const LinearShape& s, const Extras& extras, Precision precision) {
  const auto run = [=](const Tensor& x, const std::vector<Tensor>& all) {
    Inputs<Tensor> in(all, 1);
    GatedMlpWeights w{norm_from(in, extras), {}, {}, {}};
    for (LinearWeights* part : {&w.gate, &w.up, &w.down}) *part = weights_from(in, extras);
    return gated_mlp(x, w, precision);
  };
  OpCase op{.name = fmt::format("gated_mlp/{}x{}x{}{}{}", s.rows, s.in, s.out, extras.name(),
                                suffix(precision)),
            .inputs = {{s.rows, s.in}},
            .run = [=](const std::vector<Tensor>& in) { return run(in[0], in); },
            .reference =
                [=](const std::vector<Doubles>& all) {
                  Inputs<Doubles> in(all, 1);
                  const Doubles n = normed(in, extras, all[0]);
                  const Doubles gate = applied(in, extras, n, s.in);
                  Doubles h = applied(in, extras, n, s.in);
                  for (size_t i = 0; i < h.size(); ++i) h[i] *= gate[i] / (1 + std::exp(-gate[i]));
                  return applied(in, extras, h, s.out);
                },
            .row_alone = [=](const std::vector<Tensor>& in,
                             int64_t row) { return run(single_row(in[0], row), in); },
            .flops = 3 * s.flops()};
  list_norm_shapes(s.in, extras, op.inputs);
  for (int i = 0; i < 2; ++i) list_shapes(s, extras, op.inputs);
  list_shapes({s.rows, s.out, s.in}, extras, op.inputs);
  loosen(op, precision, 0.03);  // three products in a row, and gate and up are kept in bf16
  return op;
}

double gelu(Activation kind, double x) {
  if (kind == Activation::kGelu) return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

OpCase mlp_case(const LinearShape& s, const Extras& extras, Activation kind, Precision precision) {
  const auto run = [=](const Tensor& x, const std::vector<Tensor>& all) {
    Inputs<Tensor> in(all, 1);
    MlpWeights w{norm_from(in, extras), {}, {}, kind};
    for (LinearWeights* part : {&w.up, &w.down}) *part = weights_from(in, extras);
    return mlp(x, w, precision);
  };
  OpCase op{
      .name = fmt::format("mlp/{}/{}x{}x{}{}{}", kind == Activation::kGelu ? "gelu" : "gelu_tanh",
                          s.rows, s.in, s.out, extras.name(), suffix(precision)),
      .inputs = {{s.rows, s.in}},
      .run = [=](const std::vector<Tensor>& in) { return run(in[0], in); },
      .reference =
          [=](const std::vector<Doubles>& all) {
            Inputs<Doubles> in(all, 1);
            Doubles h = applied(in, extras, normed(in, extras, all[0]), s.in);
            for (double& x : h) x = gelu(kind, x);
            return applied(in, extras, h, s.out);
          },
      .row_alone = [=](const std::vector<Tensor>& in,
                       int64_t row) { return run(single_row(in[0], row), in); },
      .flops = 2 * s.flops()};
  list_norm_shapes(s.in, extras, op.inputs);
  list_shapes(s, extras, op.inputs);
  list_shapes({s.rows, s.out, s.in}, extras, op.inputs);
  loosen(op, precision, 0.03);
  return op;
}

OpCase as_timed(OpCase op) {
  op.timed = true;
  return op;
}

}  // namespace

void add_linear_cases(std::vector<OpCase>& table) {
  const Extras plain, bias{.bias = true}, low_rank{.low_rank = true};
  const Extras older{.layer_norm = true, .bias = true};
  const Extras all{.layer_norm = true, .bias = true, .low_rank = true};
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    table.push_back(linear_case({37, 29, 23}, plain, precision));
    table.push_back(linear_case({37, 29, 23}, bias, precision));
    table.push_back(linear_case({37, 29, 23}, low_rank, precision));
    table.push_back(linear_case({250, 40, 270}, bias, precision));  // several tasks each way
    table.push_back(linear_case({5, 1030, 19}, plain, precision));  // several blocks of k
    table.push_back(linear_case({1, 8, 1}, bias, precision));
    table.push_back(norm_linear_case({37, 29, 23}, plain, precision));
    table.push_back(norm_linear_case({37, 29, 23}, all, precision));
    table.push_back(norm_linear_case({130, 520, 30}, plain, precision));  // several blocks of k
    table.push_back(norm_linear_case({130, 520, 30}, older, precision));
    table.push_back(gated_mlp_case({21, 17, 43}, plain, precision));
    table.push_back(gated_mlp_case({21, 17, 43}, low_rank, precision));
    for (const Activation kind : {Activation::kGelu, Activation::kGeluTanh}) {
      table.push_back(mlp_case({21, 17, 43}, older, kind, precision));
      table.push_back(mlp_case({21, 17, 43}, all, kind, precision));
    }
    table.push_back(as_timed(linear_case({2048, 288, 288}, plain, precision)));
    table.push_back(as_timed(gated_mlp_case({2048, 288, 768}, plain, precision)));
    table.push_back(as_timed(mlp_case({2048, 288, 1152}, older, Activation::kGelu, precision)));
  }
  for (const Extras& extras : {plain, Extras{.layer_norm = true}}) {
    table.push_back(norm_case(130, 33, extras));
    table.push_back(norm_case(1, extras.layer_norm ? 2 : 1, extras));
    table.push_back(as_timed(norm_case(2048, 288, extras)));
  }
}

}  // namespace alambic
