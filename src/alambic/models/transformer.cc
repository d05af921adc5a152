#include "alambic/models/transformer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "alambic/autograd/ops_head.h"
#include "alambic/base/error.h"
#include "alambic/base/rng.h"
#include "alambic/models/copy_circuit.h"

namespace alambic {
namespace {

// Large enough that what the first steps add to the residual stream does not drown which token it
// was.
constexpr double kEmbeddingStd = 0.4;
// Times 1 / dim: the gain of the final norm in front of a tied head, where a token's own logit
// would otherwise be far from all others before training.
constexpr double kTiedGain = 10;

// The `count` neurons of a gated MLP with the largest product of the norms of their three vectors,
// in their old order.
std::vector<int64_t> strongest_neurons(const Tensor& gate, const Tensor& up, const Tensor& down,
                                       int64_t count) {
  const int64_t neurons = gate.rows(), dim = gate.cols();
  std::vector<double> strength(static_cast<size_t>(neurons));
  for (int64_t n = 0; n < neurons; ++n) {
    double g = 0, u = 0, d = 0;
    for (int64_t j = 0; j < dim; ++j) {
      g += double{gate.row(n)[j]} * gate.row(n)[j];
      u += double{up.row(n)[j]} * up.row(n)[j];
      d += double{down.row(j)[n]} * down.row(j)[n];
    }
    strength[static_cast<size_t>(n)] = g * u * d;
  }
  std::vector<int64_t> order(static_cast<size_t>(neurons));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return strength[static_cast<size_t>(a)] > strength[static_cast<size_t>(b)];
  });
  order.resize(static_cast<size_t>(count));
  std::sort(order.begin(), order.end());
  return order;
}

}  // namespace

Transformer::Transformer(ModelConfig config, Weights weights) : config_(std::move(config)) {
  validate(config_, "model");
  if (config_.positions == PositionKind::kRotary) frequencies_ = rope_frequencies(config_);
  const int64_t d = config_.dim, q = int64_t{config_.heads} * config_.head_dim;
  const int64_t kv = int64_t{config_.kv_heads} * config_.head_dim, f = config_.ffn;
  const auto tensor = [weights](Shape shape) {
    return weights == Weights::kUnstored ? Tensor::unstored(shape) : Tensor::empty(shape);
  };
  const auto matrix = [&](std::string name, int64_t out, int64_t in, bool decay = true) {
    return Parameter{std::move(name), tensor({out, in}), decay};
  };
  const auto vector = [&](std::string name, int64_t size) {
    return Parameter{std::move(name), tensor({size}), false};
  };
  const auto linear = [&](const std::string& name, int64_t out, int64_t in, bool bias) {
    Linear layer{matrix(name, out, in)};
    if (bias) layer.bias = vector(name + "_bias", out);
    return layer;
  };
  const auto norm = [&](const std::string& name) {
    NormLayer layer{vector(name, d)};
    if (config_.layer_norm) layer.bias = vector(name + "_bias", d);
    return layer;
  };
  embedding_ = matrix("embedding", config_.vocab_size, d, false);
  embedding_.table = true;
  if (config_.positions == PositionKind::kLearned) {
    positions_ = matrix("positions", config_.max_positions, d, false);
    positions_.table = true;
  }
  if (config_.embedding_norm) embedding_norm_ = norm("embedding_norm");
  final_norm_ = norm("final_norm");
  if (!config_.tied_head) head_ = linear("head", config_.vocab_size, d, config_.head_bias);
  for (int i = 0; i < config_.layers; ++i) {
    const std::string prefix = "layers." + std::to_string(i) + ".";
    Layer layer{{norm(prefix + "attention_norm"), linear(prefix + "query", q, d, config_.qkv_bias),
                 linear(prefix + "key", kv, d, config_.qkv_bias),
                 linear(prefix + "value", kv, d, config_.qkv_bias),
                 linear(prefix + "output", d, q, config_.output_bias)},
                {},
                {},
                linear(prefix + "up", f, d, config_.mlp_bias),
                linear(prefix + "down", d, f, config_.mlp_bias)};
    if (config_.head_norms) {
      layer.attention.query_norm.weight = vector(prefix + "query_norm", config_.head_dim);
      layer.attention.key_norm.weight = vector(prefix + "key_norm", config_.head_dim);
    }
    if (!config_.one_norm) layer.mlp_norm = norm(prefix + "mlp_norm");
    if (config_.gated_mlp) layer.gate = linear(prefix + "gate", f, d, config_.mlp_bias);
    layers_.push_back(std::move(layer));
  }
}

void Transformer::visit(const ParameterVisitor& visitor) {
  visitor(embedding_);
  if (positions_.value.defined()) visitor(positions_);
  embedding_norm_.visit(visitor);
  for (Layer& layer : layers_) {
    layer.attention.visit(visitor);
    layer.mlp_norm.visit(visitor);
    layer.gate.visit(visitor);
    layer.up.visit(visitor);
    layer.down.visit(visitor);
  }
  final_norm_.visit(visitor);
  head_.visit(visitor);
}

void Transformer::visit_linears(const std::function<void(Linear&)>& visitor) {
  for (Layer& layer : layers_) {
    for (Linear* linear : {&layer.attention.query, &layer.attention.key, &layer.attention.value,
                           &layer.attention.output, &layer.gate, &layer.up, &layer.down}) {
      if (linear->weight.value.defined()) visitor(*linear);
    }
  }
}

void Transformer::initialise(uint64_t seed) {
  uint64_t stream = 0;
  visit([&](Parameter& p) {
    Rng rng(seed, ++stream);
    if (p.value.shape().size() == 1) {
      std::fill_n(p.value.data(), p.value.size(), p.name.ends_with("_bias") ? 0.0F : 1.0F);
      return;
    }
    const bool output = p.name.ends_with(".output") || p.name.ends_with(".down");
    const double std = output    ? 0.0
                       : p.table ? kEmbeddingStd
                                 : std::sqrt(1.0 / 3.0 / static_cast<double>(p.value.cols()));
    for (float& w : p.value.values()) w = static_cast<float>(std * rng.normal());
  });
  if (config_.tied_head) {
    const auto gain = static_cast<float>(std::min(1.0, kTiedGain / config_.dim));
    std::fill_n(final_norm_.weight.value.data(), final_norm_.weight.value.size(), gain);
  }
  if (copy_heads(config_) > 0) {
    Rng rng(seed, ++stream);
    wire_copy_circuit(config_, kEmbeddingStd, rng, embedding_.value, layers_[0].attention,
                      layers_[1].attention);
  }
}

Tensor Transformer::feed_forward(const Layer& layer, const Tensor& x, Precision precision) const {
  const NormLayer& norm = config_.one_norm ? layer.attention.norm : layer.mlp_norm;
  if (config_.gated_mlp) {
    return gated_mlp(x,
                     {norm.norm(config_.norm_eps), layer.gate.weights(), layer.up.weights(),
                      layer.down.weights()},
                     precision);
  }
  return mlp(
      x,
      {norm.norm(config_.norm_eps), layer.up.weights(), layer.down.weights(), config_.activation},
      precision);
}

Tensor Transformer::hidden(std::span<const TokenId> tokens, const Forward& forward) const {
  ALAMBIC_CHECK(row_count(forward) == static_cast<int>(tokens.size()));
  for (const RowGroup& group : forward.groups) {
    if (group.causal && !config_.causal) {
      fail(ErrorCode::kUnsupported,
           "[{}] a bidirectional diffusion model; it cannot decode or learn left to right",
           config_.family);
    }
  }
  AttentionShape shape{config_.heads, config_.kv_heads, config_.head_dim, 0,
                       config_.positions == PositionKind::kAlibi};
  // Kept from one forward to the next, so that a decoding step allocates nothing.
  thread_local std::vector<int64_t> positions;
  thread_local std::vector<AttentionGroup> groups;
  row_positions(forward, positions);
  attention_groups(forward, groups);
  const RopeAngles angles =
      frequencies_.empty() ? RopeAngles{}
                           : rope_angles(positions, frequencies_, config_.rope_scaling.amplitude,
                                         config_.rope_interleaved);
  uint64_t site = forward.dropout_seed;
  const auto drop = [&](const Tensor& t) { return dropout(t, forward.dropout, ++site); };
  Tensor x = embedding(embedding_.value, tokens);
  if (positions_.value.defined()) x = add(position_rows(positions), x);
  if (config_.embedding_norm) x = norm_rows(x, embedding_norm_.norm(config_.norm_eps));
  x = drop(x);
  for (int i = 0; i < config_.layers; ++i) {
    const Layer& layer = layers_[static_cast<size_t>(i)];
    shape.window = i >= config_.window_from ? config_.window : 0;
    const Tensor attended =
        drop(layer.attention(x, shape, config_.norm_eps, angles, forward, groups, i));
    if (config_.parallel) {
      x = add(add(x, attended), drop(feed_forward(layer, x, forward.precision)));
    } else {
      x = add(x, attended);
      x = add(x, drop(feed_forward(layer, x, forward.precision)));
    }
  }
  return norm_rows(x, final_norm_.norm(config_.norm_eps));
}

Tensor Transformer::position_rows(std::span<const int64_t> positions) const {
  thread_local std::vector<TokenId> rows;
  rows.clear();
  for (const int64_t position : positions) {
    if (position >= config_.max_positions) {
      fail(ErrorCode::kInvalidArgument, "[model] position {}; it has learned {}", position,
           config_.max_positions);
    }
    rows.push_back(static_cast<TokenId>(position));
  }
  return embedding(positions_.value, rows);
}

Tensor Transformer::logits(const Tensor& hidden_rows, Precision precision) const {
  return linear(hidden_rows, {head(), head_bias()}, precision);
}

void Transformer::summaries(const Tensor& hidden_rows, Precision precision,
                            const CountedColumns& columns, std::span<RowSummary> out) const {
  head_summaries(hidden_rows, head(), head_bias(), precision, columns, out);
}

double Transformer::inherit(const Transformer& teacher) {
  // Weights mean what they mean within one architecture.
  if (!config_.gated_mlp || !teacher.config_.gated_mlp || teacher.config_.layer_norm) return 0;
  int64_t taken = 0, total = 0;
  const auto take = [&](Parameter& own, const Parameter& given) {
    if (own.value.shape() != given.value.shape()) return;
    std::copy_n(given.value.data(), own.value.size(), own.value.data());
    taken += own.value.size();
  };
  const auto take_tokens = [&](Parameter& own, const Parameter& given) {
    if (own.value.cols() != given.value.cols()) return;
    const int64_t size = std::min(own.value.size(), given.value.size());
    std::copy_n(given.value.data(), size, own.value.data());
    taken += size;
  };
  take_tokens(embedding_, teacher.embedding_);
  take(final_norm_.weight, teacher.final_norm_.weight);
  if (!config_.tied_head && !teacher.config_.tied_head)
    take_tokens(head_.weight, teacher.head_.weight);
  for (size_t i = 0; i < std::min(layers_.size(), teacher.layers_.size()); ++i) {
    Layer& own = layers_[i];
    const Layer& given = teacher.layers_[i];
    take(own.attention.norm.weight, given.attention.norm.weight);
    take(own.mlp_norm.weight, given.mlp_norm.weight);
    take(own.attention.query.weight, given.attention.query.weight);
    take(own.attention.key.weight, given.attention.key.weight);
    take(own.attention.value.weight, given.attention.value.weight);
    take(own.attention.output.weight, given.attention.output.weight);
    if (config_.dim != teacher.config_.dim || config_.ffn > teacher.config_.ffn) continue;
    Tensor &own_gate = own.gate.weight.value, &own_up = own.up.weight.value,
           &own_down = own.down.weight.value;
    const Tensor &gate = given.gate.weight.value, &up = given.up.weight.value,
                 &down = given.down.weight.value;
    const std::vector<int64_t> neurons = strongest_neurons(gate, up, down, config_.ffn);
    for (int64_t n = 0; n < config_.ffn; ++n) {
      const int64_t from = neurons[static_cast<size_t>(n)];
      std::copy_n(gate.row(from), config_.dim, own_gate.row(n));
      std::copy_n(up.row(from), config_.dim, own_up.row(n));
      for (int64_t r = 0; r < config_.dim; ++r) own_down.row(r)[n] = down.row(r)[from];
    }
    taken += own_gate.size() + own_up.size() + own_down.size();
  }
  visit([&](const Parameter& p) { total += p.value.size(); });
  return static_cast<double>(taken) / static_cast<double>(total);
}

}  // namespace alambic
