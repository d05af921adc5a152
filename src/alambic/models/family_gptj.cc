// GPT-J (Wang & Komatsuzaki 2021; the first Dolly's base): rotary positions on neighbours of part
// of a head, attention and MLP in parallel under one norm, a head with a bias.
#include <fmt/format.h>

#include <map>

#include "alambic/models/config_keys.h"

namespace alambic {
namespace {

ModelConfig read_gptj(const Json& json, std::string_view where) {
  ModelConfig c;
  c.family = "gptj";
  c.vocab_size = require<int>(json, "vocab_size", where);
  c.dim = require<int>(json, "n_embd", where);
  c.layers = require<int>(json, "n_layer", where);
  c.heads = c.kv_heads = require<int>(json, "n_head", where);
  c.head_dim = c.heads > 0 ? c.dim / c.heads : 0;
  c.ffn = optional<int>(json, "n_inner", 4 * c.dim, where);
  c.max_positions = optional<int>(json, "n_positions", 2048, where);
  c.rotated = optional<int>(json, "rotary_dim", c.head_dim, where);
  c.rope_interleaved = true;
  c.norm_eps = optional<float>(json, "layer_norm_epsilon", 1e-5F, where);
  c.activation = read_gelu(json, "activation_function", "gelu_new", where);
  c.tied_head = optional<bool>(json, "tie_word_embeddings", false, where);
  c.head_bias = !c.tied_head;
  c.layer_norm = c.mlp_bias = c.parallel = c.one_norm = true;
  c.gated_mlp = false;
  read_ids(json, where, c);
  return c;
}

Json write_gptj(const ModelConfig& c) {
  Json json = {{"architectures", {"GPTJForCausalLM"}},
               {"model_type", "gptj"},
               {"vocab_size", c.vocab_size},
               {"n_embd", c.dim},
               {"n_layer", c.layers},
               {"n_head", c.heads},
               {"n_inner", c.ffn},
               {"n_positions", c.max_positions},
               {"rotary_dim", c.rotary_dims()},
               {"layer_norm_epsilon", c.norm_eps},
               {"activation_function", gelu_name(c.activation)},
               {"tie_word_embeddings", c.tied_head}};
  write_ids(c, json);
  return json;
}

StoredTensor stored_gptj(std::string_view parameter) {
  static const std::map<std::string_view, std::string_view> kInLayer = {
      {"attention_norm", "ln_1"}, {"query", "attn.q_proj"},    {"key", "attn.k_proj"},
      {"value", "attn.v_proj"},   {"output", "attn.out_proj"}, {"up", "mlp.fc_in"},
      {"down", "mlp.fc_out"}};
  const ParameterName name(parameter);
  if (name.part == "embedding") return {"transformer.wte.weight"};
  if (name.part == "head") return {fmt::format("lm_head{}", name.suffix())};
  if (name.part == "final_norm") return {fmt::format("transformer.ln_f{}", name.suffix())};
  return {fmt::format("transformer.h.{}.{}{}", name.layer, kInLayer.at(name.part), name.suffix())};
}

}  // namespace

const Family kGptJ = {"gptj", read_gptj, write_gptj, stored_gptj};

}  // namespace alambic
