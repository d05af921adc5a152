// GPT-NeoX (arXiv 2204.06745), Pythia and Dolly 2: rotary positions on part of a head, attention
// and MLP in parallel under two norms; queries, keys and values in one, head by head.
#include <fmt/format.h>

#include <map>

#include "alambic/models/config_keys.h"

namespace alambic {
namespace {

ModelConfig read_neox(const Json& json, std::string_view where) {
  ModelConfig c;
  c.family = "gpt_neox";
  c.vocab_size = require<int>(json, "vocab_size", where);
  c.dim = require<int>(json, "hidden_size", where);
  c.layers = require<int>(json, "num_hidden_layers", where);
  c.heads = c.kv_heads = require<int>(json, "num_attention_heads", where);
  c.head_dim = c.heads > 0 ? c.dim / c.heads : 0;
  c.ffn = require<int>(json, "intermediate_size", where);
  c.max_positions = optional<int>(json, "max_position_embeddings", 2048, where);
  c.norm_eps = optional<float>(json, "layer_norm_eps", 1e-5F, where);
  c.activation = read_gelu(json, "hidden_act", "gelu", where);
  c.tied_head = optional<bool>(json, "tie_word_embeddings", false, where);
  c.rope_theta = optional<double>(json, "rotary_emb_base", 10000.0, where);
  const auto share = optional<double>(json, "rotary_pct", 0.25, where);
  if (!(share > 0 && share <= 1))
    fail(ErrorCode::kCorruptData, "[{}] rotary_pct = {}; want (0, 1]", where, share);
  c.rotated = static_cast<int>(c.head_dim * share);
  read_rope(json, where, c);
  c.qkv_bias = c.output_bias = optional<bool>(json, "attention_bias", true, where);
  c.parallel = optional<bool>(json, "use_parallel_residual", true, where);
  c.layer_norm = c.mlp_bias = true;
  c.gated_mlp = false;
  read_ids(json, where, c);
  return c;
}

Json write_neox(const ModelConfig& c) {
  Json json = {{"architectures", {"GPTNeoXForCausalLM"}},
               {"model_type", "gpt_neox"},
               {"vocab_size", c.vocab_size},
               {"hidden_size", c.dim},
               {"num_hidden_layers", c.layers},
               {"num_attention_heads", c.heads},
               {"intermediate_size", c.ffn},
               {"max_position_embeddings", c.max_positions},
               {"layer_norm_eps", c.norm_eps},
               {"hidden_act", c.activation == Activation::kGelu ? "gelu" : "gelu_fast"},
               {"tie_word_embeddings", c.tied_head},
               {"rotary_emb_base", c.rope_theta},
               {"rotary_pct", static_cast<double>(c.rotary_dims()) / c.head_dim},
               {"rope_scaling", rope_scaling_json(c)},
               {"attention_bias", c.qkv_bias},
               {"use_parallel_residual", c.parallel}};
  write_ids(c, json);
  return json;
}

StoredTensor stored_neox(std::string_view parameter) {
  static const std::map<std::string_view, std::string_view> kInLayer = {
      {"attention_norm", "input_layernorm"},
      {"mlp_norm", "post_attention_layernorm"},
      {"output", "attention.dense"},
      {"up", "mlp.dense_h_to_4h"},
      {"down", "mlp.dense_4h_to_h"}};
  const ParameterName name(parameter);
  if (name.part == "embedding") return {"gpt_neox.embed_in.weight"};
  if (name.part == "head") return {"embed_out.weight"};
  if (name.part == "final_norm") return {fmt::format("gpt_neox.final_layer_norm{}", name.suffix())};
  const int part = name.part == "query"   ? 0
                   : name.part == "key"   ? 1
                   : name.part == "value" ? 2
                                          : -1;
  if (part >= 0) {
    return {
        fmt::format("gpt_neox.layers.{}.attention.query_key_value{}", name.layer, name.suffix()),
        false, part, 3, true};
  }
  return {
      fmt::format("gpt_neox.layers.{}.{}{}", name.layer, kInLayer.at(name.part), name.suffix())};
}

}  // namespace

const Family kGptNeox = {"gpt_neox", read_neox, write_neox, stored_neox};

}  // namespace alambic
