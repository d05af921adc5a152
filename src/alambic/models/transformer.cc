#include "alambic/models/transformer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

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
  embedding_ = matrix("embedding", config_.vocab_size, d, false);
  embedding_.table = true;
  final_norm_ = vector("final_norm", d);
  if (!config_.tied_head) head_ = matrix("head", config_.vocab_size, d);
  for (int i = 0; i < config_.layers; ++i) {
    const std::string prefix = "layers." + std::to_string(i) + ".";
    layers_.push_back({{vector(prefix + "attention_norm", d), matrix(prefix + "query", q, d),
                        matrix(prefix + "key", kv, d), matrix(prefix + "value", kv, d),
                        matrix(prefix + "output", d, q)},
                       vector(prefix + "mlp_norm", d),
                       matrix(prefix + "gate", f, d),
                       matrix(prefix + "up", f, d),
                       matrix(prefix + "down", d, f)});
  }
}

void Transformer::visit(const ParameterVisitor& visitor) {
  visitor(embedding_);
  for (Layer& layer : layers_) {
    visitor(layer.attention.norm);
    visitor(layer.attention.query);
    visitor(layer.attention.key);
    visitor(layer.attention.value);
    visitor(layer.attention.output);
    visitor(layer.mlp_norm);
    visitor(layer.gate);
    visitor(layer.up);
    visitor(layer.down);
  }
  visitor(final_norm_);
  if (!config_.tied_head) visitor(head_);
}

void Transformer::initialise(uint64_t seed) {
  uint64_t stream = 0;
  visit([&](Parameter& p) {
    Rng rng(seed, ++stream);
    if (p.value.shape().size() == 1) {
      std::fill_n(p.value.data(), p.value.size(), 1.0F);
      return;
    }
    const bool output = p.name.ends_with(".output") || p.name.ends_with(".down");
    const double std = output ? 0.0
                       : p.name == "embedding"
                           ? kEmbeddingStd
                           : std::sqrt(1.0 / 3.0 / static_cast<double>(p.value.cols()));
    for (float& w : p.value.values()) w = static_cast<float>(std * rng.normal());
  });
  if (config_.tied_head) {
    const auto gain = static_cast<float>(std::min(1.0, kTiedGain / config_.dim));
    std::fill_n(final_norm_.value.data(), final_norm_.value.size(), gain);
  }
  if (copy_heads(config_) > 0) {
    Rng rng(seed, ++stream);
    wire_copy_circuit(config_, kEmbeddingStd, rng, embedding_.value, layers_[0].attention,
                      layers_[1].attention);
  }
}

Tensor Transformer::hidden(std::span<const TokenId> tokens, const Forward& forward) const {
  ALAMBIC_CHECK(row_count(forward) == static_cast<int>(tokens.size()));
  const AttentionShape shape{config_.heads, config_.kv_heads, config_.head_dim};
  // Kept from one forward to the next, so that a decoding step allocates nothing.
  thread_local std::vector<int64_t> positions;
  thread_local std::vector<AttentionGroup> groups;
  row_positions(forward, positions);
  attention_groups(forward, groups);
  const RopeAngles angles = rope_angles(positions, config_.head_dim, config_.rope_theta);
  uint64_t site = forward.dropout_seed;
  const auto drop = [&](const Tensor& t) { return dropout(t, forward.dropout, ++site); };
  Tensor x = drop(embedding(embedding_.value, tokens));
  for (int i = 0; i < config_.layers; ++i) {
    const Layer& layer = layers_[static_cast<size_t>(i)];
    x = add(x, drop(layer.attention(x, shape, config_.norm_eps, angles, forward, groups, i)));
    x = add(x, drop(gated_mlp(
                   x, {layer.mlp_norm.value, layer.gate.value, layer.up.value, layer.down.value},
                   config_.norm_eps, forward.precision)));
  }
  return rms_norm(x, final_norm_.value, config_.norm_eps);
}

Tensor Transformer::logits(const Tensor& hidden_rows, Precision precision) const {
  return linear(hidden_rows, head(), precision);
}

double Transformer::inherit(const Transformer& teacher) {
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
  take(final_norm_, teacher.final_norm_);
  if (!config_.tied_head && !teacher.config_.tied_head) take_tokens(head_, teacher.head_);
  for (size_t i = 0; i < std::min(layers_.size(), teacher.layers_.size()); ++i) {
    Layer& own = layers_[i];
    const Layer& given = teacher.layers_[i];
    take(own.attention.norm, given.attention.norm);
    take(own.mlp_norm, given.mlp_norm);
    take(own.attention.query, given.attention.query);
    take(own.attention.key, given.attention.key);
    take(own.attention.value, given.attention.value);
    take(own.attention.output, given.attention.output);
    if (config_.dim != teacher.config_.dim || config_.ffn > teacher.config_.ffn) continue;
    const std::vector<int64_t> neurons =
        strongest_neurons(given.gate.value, given.up.value, given.down.value, config_.ffn);
    for (int64_t n = 0; n < config_.ffn; ++n) {
      const int64_t from = neurons[static_cast<size_t>(n)];
      std::copy_n(given.gate.value.row(from), config_.dim, own.gate.value.row(n));
      std::copy_n(given.up.value.row(from), config_.dim, own.up.value.row(n));
      for (int64_t r = 0; r < config_.dim; ++r)
        own.down.value.row(r)[n] = given.down.value.row(r)[from];
    }
    taken += own.gate.value.size() + own.up.value.size() + own.down.value.size();
  }
  visit([&](const Parameter& p) { total += p.value.size(); });
  return static_cast<double>(taken) / static_cast<double>(total);
}

}  // namespace alambic
