#include "alambic/models/model_config.h"

#include <fmt/format.h>

#include <cmath>

namespace alambic {

int64_t ModelConfig::parameters() const {
  const int64_t d = dim, q = int64_t{heads} * head_dim, kv = int64_t{kv_heads} * head_dim;
  const int64_t norm = layer_norm ? 2 * d : d;
  int64_t layer = d * q * 2 + d * kv * 2 + d * ffn * (gated_mlp ? 3 : 2);
  layer += norm * (one_norm ? 1 : 2);
  if (qkv_bias) layer += q + 2 * kv;
  if (output_bias) layer += d;
  if (mlp_bias) layer += ffn + d;
  if (head_norms) layer += 2 * int64_t{head_dim};
  int64_t rest = int64_t{vocab_size} * d * (tied_head ? 1 : 2) + norm;
  if (positions == PositionKind::kLearned) rest += int64_t{max_positions} * d;
  if (embedding_norm) rest += norm;
  if (head_bias) rest += vocab_size;
  return rest + layer * layers;
}

std::vector<std::string> ModelConfig::peculiarities() const {
  std::vector<std::string> list;
  const auto note = [&](bool so, std::string what) {
    if (so) list.push_back(std::move(what));
  };
  note(!causal, "bidirectional: a masked diffusion model");
  note(shifted_rows, "row i speaks of token i + 1");
  note(positions == PositionKind::kLearned, "learned positions");
  note(positions == PositionKind::kAlibi, "ALiBi instead of positions");
  note(rotated > 0 && rotated < head_dim,
       fmt::format("rotary positions on {} of {} numbers of a head", rotated, head_dim));
  note(rope_interleaved, "rotary pairs of neighbours");
  const char* const scalings[] = {"", "linear", "llama3", "yarn"};
  note(rope_scaling.kind != RopeScaling::Kind::kNone,
       fmt::format("rope scaling {} by {:g} beyond {} positions",
                   scalings[static_cast<int>(rope_scaling.kind)], rope_scaling.factor,
                   rope_scaling.original_positions));
  note(window > 0, fmt::format("sliding window of {} positions{}", window,
                               window_from > 0 ? fmt::format(" from layer {} on", window_from)
                                               : std::string()));
  note(layer_norm, "layer norm");
  note(embedding_norm, "a norm behind the embedding");
  note(head_norms, "queries and keys normed head by head");
  note(parallel,
       one_norm ? "attention and MLP in parallel under one norm" : "attention and MLP in parallel");
  note(!gated_mlp,
       activation == Activation::kGelu ? "gelu MLP without gate" : "gelu (tanh) MLP without gate");
  note(qkv_bias || output_bias, "attention biases");
  note(head_bias, "a head with a bias");
  return list;
}

void validate(const ModelConfig& c, std::string_view where, ErrorCode code) {
  const auto bounded = [&](const char* key, int64_t value, int64_t limit) {
    if (value < 1 || value > limit)
      fail(code, "[{}] {} = {}; want 1 to {}", where, key, value, limit);
  };
  bounded("vocab_size", c.vocab_size, 1 << 22);
  bounded("hidden_size", c.dim, 1 << 16);
  bounded("num_hidden_layers", c.layers, 1024);
  bounded("num_attention_heads", c.heads, 1024);
  bounded("num_key_value_heads", c.kv_heads, 1024);
  bounded("head_dim", c.head_dim, 1024);
  bounded("intermediate_size", c.ffn, 1 << 18);
  bounded("max_position_embeddings", c.max_positions, 1 << 24);
  if (c.heads % c.kv_heads != 0) {
    fail(code, "[{}] num_attention_heads = {} is not a multiple of num_key_value_heads = {}", where,
         c.heads, c.kv_heads);
  }
  if (c.positions == PositionKind::kRotary) {
    if (c.rotary_dims() % 2 != 0 || c.rotary_dims() > c.head_dim || c.rotated < 0) {
      fail(code, "[{}] {} of head_dim = {} numbers are rotated; want an even count, at most all",
           where, c.rotary_dims(), c.head_dim);
    }
    if (!(c.rope_theta > 0 && std::isfinite(c.rope_theta)))
      fail(code, "[{}] rope_theta = {}; want a positive number", where, c.rope_theta);
  }
  if (c.window < 0) fail(code, "[{}] sliding_window = {}; want a count", where, c.window);
  if (!(c.norm_eps > 0 && c.norm_eps < 1)) {
    fail(code, "[{}] rms_norm_eps = {}; want a small positive number", where, c.norm_eps);
  }
  const auto in_vocabulary = [&](const char* name, TokenId id, TokenId lowest) {
    if (id < lowest || id >= c.vocab_size) {
      fail(code, "[{}] {} = {} is outside the vocabulary of {}", where, name, id, c.vocab_size);
    }
  };
  in_vocabulary("bos_token_id", c.bos, -1);
  in_vocabulary("mask_token_id", c.mask, -1);
  for (const TokenId id : c.eos) in_vocabulary("eos_token_id", id, 0);
}

}  // namespace alambic
