// GPT-2 (Radford et al. 2019): learned positions, layer norms and biases everywhere, a tied head;
// stored as transposed matrices with queries, keys and values in one.
#include <fmt/format.h>

#include <map>

#include "alambic/models/config_keys.h"

namespace alambic {
namespace {

ModelConfig read_gpt2(const Json& json, std::string_view where) {
  ModelConfig c;
  c.family = "gpt2";
  c.vocab_size = require<int>(json, "vocab_size", where);
  c.dim = require<int>(json, "n_embd", where);
  c.layers = require<int>(json, "n_layer", where);
  c.heads = c.kv_heads = require<int>(json, "n_head", where);
  c.head_dim = c.heads > 0 ? c.dim / c.heads : 0;
  c.ffn = optional<int>(json, "n_inner", 4 * c.dim, where);
  c.max_positions = optional<int>(json, "n_positions", 1024, where);
  c.norm_eps = optional<float>(json, "layer_norm_epsilon", 1e-5F, where);
  c.activation = read_gelu(json, "activation_function", "gelu_new", where);
  c.tied_head = optional<bool>(json, "tie_word_embeddings", true, where);
  c.positions = PositionKind::kLearned;
  c.layer_norm = c.qkv_bias = c.output_bias = c.mlp_bias = true;
  c.gated_mlp = false;
  read_ids(json, where, c);
  expect_value(json, "scale_attn_weights", true, where);
  expect_value(json, "scale_attn_by_inverse_layer_idx", false, where);
  expect_value(json, "add_cross_attention", false, where);
  return c;
}

Json write_gpt2(const ModelConfig& c) {
  Json json = {{"architectures", {"GPT2LMHeadModel"}},
               {"model_type", "gpt2"},
               {"vocab_size", c.vocab_size},
               {"n_embd", c.dim},
               {"n_layer", c.layers},
               {"n_head", c.heads},
               {"n_inner", c.ffn},
               {"n_positions", c.max_positions},
               {"layer_norm_epsilon", c.norm_eps},
               {"activation_function", gelu_name(c.activation)},
               {"tie_word_embeddings", c.tied_head}};
  write_ids(c, json);
  return json;
}

StoredTensor stored_gpt2(std::string_view parameter) {
  static const std::map<std::string_view, std::string_view> kInLayer = {{"attention_norm", "ln_1"},
                                                                        {"mlp_norm", "ln_2"},
                                                                        {"output", "attn.c_proj"},
                                                                        {"up", "mlp.c_fc"},
                                                                        {"down", "mlp.c_proj"}};
  const ParameterName name(parameter);
  if (name.part == "embedding") return {"transformer.wte.weight"};
  if (name.part == "positions") return {"transformer.wpe.weight"};
  if (name.part == "head") return {"lm_head.weight"};
  if (name.part == "final_norm") return {fmt::format("transformer.ln_f{}", name.suffix())};
  const int part = name.part == "query"   ? 0
                   : name.part == "key"   ? 1
                   : name.part == "value" ? 2
                                          : -1;
  if (part >= 0) {
    return {fmt::format("transformer.h.{}.attn.c_attn{}", name.layer, name.suffix()), true, part,
            3};
  }
  const bool matrix = !name.part.ends_with("_norm");
  return {fmt::format("transformer.h.{}.{}{}", name.layer, kInLayer.at(name.part), name.suffix()),
          matrix};
}

}  // namespace

const Family kGpt2 = {"gpt2", read_gpt2, write_gpt2, stored_gpt2};

}  // namespace alambic
