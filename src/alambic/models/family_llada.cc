// LLaDA (arXiv 2502.09992): LLaMA's blocks under OLMo's names, every row seeing every row, and
// [MASK] tokens to be resolved.
#include <fmt/format.h>

#include <map>

#include "alambic/models/config_keys.h"

namespace alambic {
namespace {

ModelConfig read_llada(const Json& json, std::string_view where) {
  ModelConfig c;
  c.family = "llada";
  c.vocab_size = require<int>(json, "vocab_size", where);
  // The table may have rows beyond the vocabulary.
  c.vocab_size = optional<int>(json, "embedding_size", c.vocab_size, where);
  c.dim = require<int>(json, "d_model", where);
  c.layers = require<int>(json, "n_layers", where);
  c.heads = require<int>(json, "n_heads", where);
  c.kv_heads = optional<int>(json, "n_kv_heads", c.heads, where);
  c.head_dim = c.heads > 0 ? c.dim / c.heads : 0;
  c.ffn = require<int>(json, "mlp_hidden_size", where);
  c.max_positions = optional<int>(json, "max_sequence_length", 4096, where);
  c.norm_eps = optional<float>(json, "rms_norm_eps", 1e-5F, where);
  c.tied_head = optional<bool>(json, "weight_tying", false, where);
  c.qkv_bias = optional<bool>(json, "include_qkv_bias", false, where);
  c.causal = false;
  c.mask = optional<int>(json, "mask_token_id", -1, where);
  // As in OLMo: positions are learned where neither RoPE nor ALiBi says them.
  if (optional<bool>(json, "rope", true, where)) {
    read_rope(json, where, c);
  } else {
    c.positions = PositionKind::kLearned;
  }
  read_ids(json, where, c);
  expect_value(json, "block_type", "llama", where);
  expect_value(json, "layer_norm_type", "rms", where);
  expect_value(json, "activation_type", "silu", where);
  expect_value(json, "alibi", false, where);
  expect_value(json, "include_bias", false, where);
  expect_value(json, "attention_layer_norm", false, where);
  expect_value(json, "input_emb_norm", false, where);
  expect_value(json, "scale_logits", false, where);
  return c;
}

Json write_llada(const ModelConfig& c) {
  Json json = {{"architectures", {"LLaDAModelLM"}},
               {"model_type", "llada"},
               {"auto_map",
                {{"AutoConfig", "configuration_llada.LLaDAConfig"},
                 {"AutoModel", "modeling_llada.LLaDAModelLM"},
                 {"AutoModelForCausalLM", "modeling_llada.LLaDAModelLM"}}},
               {"vocab_size", c.vocab_size},
               {"embedding_size", c.vocab_size},
               {"d_model", c.dim},
               {"n_layers", c.layers},
               {"n_heads", c.heads},
               {"n_kv_heads", c.kv_heads},
               {"mlp_hidden_size", c.ffn},
               {"max_sequence_length", c.max_positions},
               {"rope_theta", c.rope_theta},
               {"rms_norm_eps", c.norm_eps},
               {"weight_tying", c.tied_head},
               {"include_qkv_bias", c.qkv_bias},
               {"include_bias", false},
               {"block_type", "llama"},
               {"layer_norm_type", "rms"},
               {"activation_type", "silu"},
               {"rope", c.positions == PositionKind::kRotary},
               {"alibi", false},
               {"mask_token_id", c.mask}};
  write_ids(c, json);
  return json;
}

StoredTensor stored_llada(std::string_view parameter) {
  static const std::map<std::string_view, std::string_view> kInLayer = {
      {"attention_norm", "attn_norm"},
      {"mlp_norm", "ff_norm"},
      {"query", "q_proj"},
      {"key", "k_proj"},
      {"value", "v_proj"},
      {"output", "attn_out"},
      {"gate", "ff_proj"},
      {"up", "up_proj"},
      {"down", "ff_out"}};
  const ParameterName name(parameter);
  if (name.part == "embedding") return {"model.transformer.wte.weight"};
  if (name.part == "positions") return {"model.transformer.wpe.weight"};
  if (name.part == "final_norm") return {"model.transformer.ln_f.weight"};
  if (name.part == "head") return {"model.transformer.ff_out.weight"};
  return {fmt::format("model.transformer.blocks.{}.{}{}", name.layer, kInLayer.at(name.part),
                      name.suffix())};
}

}  // namespace

const Family kLlada = {"llada", read_llada, write_llada, stored_llada};

}  // namespace alambic
