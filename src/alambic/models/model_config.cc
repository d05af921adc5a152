#include "alambic/models/model_config.h"

namespace alambic {

int64_t ModelConfig::parameters() const {
  const int64_t d = dim, q = int64_t{heads} * head_dim, kv = int64_t{kv_heads} * head_dim;
  const int64_t layer = d * q * 2 + d * kv * 2 + d * ffn * 3 + 2 * d;
  return int64_t{vocab_size} * d * (tied_head ? 1 : 2) + layer * layers + d;
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
  if (c.head_dim % 2 != 0)
    fail(code, "[{}] head_dim = {}; rotary positions want an even one", where, c.head_dim);
  if (!(c.rope_theta > 0))
    fail(code, "[{}] rope_theta = {}; want a positive number", where, c.rope_theta);
  if (!(c.norm_eps > 0 && c.norm_eps < 1)) {
    fail(code, "[{}] rms_norm_eps = {}; want a small positive number", where, c.norm_eps);
  }
  for (const auto& [name, id] :
       {std::pair{"bos_token_id", c.bos}, {"eos_token_id", c.eos}, {"mask_token_id", c.mask}}) {
    if (id < -1 || id >= c.vocab_size) {
      fail(code, "[{}] {} = {} is outside the vocabulary of {}", where, name, id, c.vocab_size);
    }
  }
}

}  // namespace alambic
