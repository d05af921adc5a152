#include "alambic/models/transformer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "alambic/base/error.h"
#include "alambic/base/rng.h"

namespace alambic {
namespace {

// Large enough that what the first steps add to the residual stream does not drown which token it
// was.
constexpr double kEmbeddingStd = 0.1;

}  // namespace

Transformer::Transformer(ModelConfig config) : config_(std::move(config)) {
  validate(config_, "model");
  const int64_t d = config_.dim, q = int64_t{config_.heads} * config_.head_dim;
  const int64_t kv = int64_t{config_.kv_heads} * config_.head_dim, f = config_.ffn;
  const auto matrix = [](std::string name, int64_t out, int64_t in, bool decay = true) {
    return Parameter{std::move(name), Tensor::empty({out, in}), decay};
  };
  const auto vector = [](std::string name, int64_t size) {
    return Parameter{std::move(name), Tensor::empty({size}), false};
  };
  embedding_ = matrix("embedding", config_.vocab_size, d, false);
  final_norm_ = vector("final_norm", d);
  if (!config_.tied_head) head_ = matrix("head", config_.vocab_size, d);
  for (int i = 0; i < config_.layers; ++i) {
    const std::string prefix = "layers." + std::to_string(i) + ".";
    layers_.push_back({vector(prefix + "attention_norm", d),
                       vector(prefix + "mlp_norm", d),
                       {matrix(prefix + "query", q, d), matrix(prefix + "key", kv, d),
                        matrix(prefix + "value", kv, d), matrix(prefix + "output", d, q)},
                       matrix(prefix + "gate", f, d),
                       matrix(prefix + "up", f, d),
                       matrix(prefix + "down", d, f)});
  }
}

void Transformer::visit(const ParameterVisitor& visitor) {
  visitor(embedding_);
  for (Layer& layer : layers_) {
    visitor(layer.attention_norm);
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
                           ? 0.02
                           : std::sqrt(1.0 / 3.0 / static_cast<double>(p.value.cols()));
    for (float& w : p.value.values()) w = static_cast<float>(std * rng.normal());
  });
  if (config_.tied_head) {
    const auto gain = static_cast<float>(std::min(1.0, 1 / (kEmbeddingStd * config_.dim)));
    std::fill_n(final_norm_.value.data(), final_norm_.value.size(), gain);
  }
}

Tensor Transformer::hidden(std::span<const TokenId> tokens, const Forward& forward) const {
  ALAMBIC_CHECK(row_count(forward) == static_cast<int>(tokens.size()));
  const AttentionShape shape{config_.heads, config_.kv_heads, config_.head_dim};
  const RopeAngles angles =
      rope_angles(row_positions(forward), config_.head_dim, config_.rope_theta);
  uint64_t site = forward.dropout_seed;
  const auto drop = [&](const Tensor& t) { return dropout(t, forward.dropout, ++site); };
  Tensor x = drop(embedding(embedding_.value, tokens));
  for (int i = 0; i < config_.layers; ++i) {
    const Layer& layer = layers_[static_cast<size_t>(i)];
    const Tensor a = rms_norm(x, layer.attention_norm.value, config_.norm_eps);
    x = add(x, drop(layer.attention(a, shape, angles, forward, i)));
    const Tensor m = rms_norm(x, layer.mlp_norm.value, config_.norm_eps);
    x = add(x, drop(gated_mlp(m, layer.gate.value, layer.up.value, layer.down.value,
                              forward.precision)));
  }
  return rms_norm(x, final_norm_.value, config_.norm_eps);
}

Tensor Transformer::logits(const Tensor& hidden_rows, Precision precision) const {
  return linear(hidden_rows, head(), precision);
}

double Transformer::inherit(const Transformer& teacher) {
  std::map<std::string, Tensor> given;
  const std::string last = "layers." + std::to_string(teacher.config().layers - 1) + ".";
  const std::string own_last = "layers." + std::to_string(config_.layers - 1) + ".";
  const_cast<Transformer&>(teacher).visit([&](Parameter& p) { given[p.name] = p.value; });
  int64_t taken = 0, total = 0;
  visit([&](Parameter& p) {
    total += p.value.size();
    const std::string name =
        p.name.starts_with(own_last) ? last + p.name.substr(own_last.size()) : p.name;
    const auto it = given.find(name);
    if (it == given.end() || it->second.cols() != p.value.cols()) return;
    const bool by_token = p.name == "embedding" || p.name == "head";
    if (!by_token && it->second.rows() != p.value.rows()) return;
    const int64_t count = std::min(it->second.size(), p.value.size());
    std::copy_n(it->second.data(), count, p.value.data());
    taken += count;
  });
  return static_cast<double>(taken) / static_cast<double>(total);
}

}  // namespace alambic
