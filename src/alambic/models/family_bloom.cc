// BLOOM (arXiv 2211.05100): ALiBi, a norm behind the embedding, layer norms and biases everywhere,
// a tied head; queries, keys and values in one, head by head.
#include <fmt/format.h>

#include <map>

#include "alambic/models/config_keys.h"

namespace alambic {
namespace {

// No limit is built in; files say what the model has seen, if anything.
constexpr int kTrainedPositions = 2048;

ModelConfig read_bloom(const Json& json, std::string_view where) {
  ModelConfig c;
  c.family = "bloom";
  c.vocab_size = require<int>(json, "vocab_size", where);
  // Early files say n_embed, num_attention_heads.
  c.dim = json.contains("hidden_size") ? require<int>(json, "hidden_size", where)
                                       : require<int>(json, "n_embed", where);
  c.layers = json.contains("n_layer") ? require<int>(json, "n_layer", where)
                                      : require<int>(json, "num_hidden_layers", where);
  c.heads = json.contains("n_head") ? require<int>(json, "n_head", where)
                                    : require<int>(json, "num_attention_heads", where);
  c.kv_heads = c.heads;
  c.head_dim = c.heads > 0 ? c.dim / c.heads : 0;
  c.ffn = 4 * c.dim;
  c.max_positions = optional<int>(json, "seq_length", kTrainedPositions, where);
  c.norm_eps = optional<float>(json, "layer_norm_epsilon", 1e-5F, where);
  c.tied_head = optional<bool>(json, "tie_word_embeddings", true, where);
  c.positions = PositionKind::kAlibi;
  c.activation = Activation::kGeluTanh;
  c.layer_norm = c.embedding_norm = c.qkv_bias = c.output_bias = c.mlp_bias = true;
  c.gated_mlp = false;
  read_ids(json, where, c);
  expect_value(json, "apply_residual_connection_post_layernorm", false, where);
  return c;
}

Json write_bloom(const ModelConfig& c) {
  Json json = {{"architectures", {"BloomForCausalLM"}},
               {"model_type", "bloom"},
               {"vocab_size", c.vocab_size},
               {"hidden_size", c.dim},
               {"n_layer", c.layers},
               {"n_head", c.heads},
               {"seq_length", c.max_positions},
               {"layer_norm_epsilon", c.norm_eps},
               {"tie_word_embeddings", c.tied_head},
               {"apply_residual_connection_post_layernorm", false}};
  write_ids(c, json);
  return json;
}

StoredTensor stored_bloom(std::string_view parameter) {
  static const std::map<std::string_view, std::string_view> kInLayer = {
      {"attention_norm", "input_layernorm"},
      {"mlp_norm", "post_attention_layernorm"},
      {"output", "self_attention.dense"},
      {"up", "mlp.dense_h_to_4h"},
      {"down", "mlp.dense_4h_to_h"}};
  const ParameterName name(parameter);
  if (name.part == "embedding") return {"transformer.word_embeddings.weight"};
  if (name.part == "embedding_norm")
    return {fmt::format("transformer.word_embeddings_layernorm{}", name.suffix())};
  if (name.part == "head") return {"lm_head.weight"};
  if (name.part == "final_norm") return {fmt::format("transformer.ln_f{}", name.suffix())};
  const int part = name.part == "query"   ? 0
                   : name.part == "key"   ? 1
                   : name.part == "value" ? 2
                                          : -1;
  if (part >= 0) {
    return {
        fmt::format("transformer.h.{}.self_attention.query_key_value{}", name.layer, name.suffix()),
        false, part, 3, true};
  }
  return {fmt::format("transformer.h.{}.{}{}", name.layer, kInLayer.at(name.part), name.suffix())};
}

}  // namespace

const Family kBloom = {"bloom", read_bloom, write_bloom, stored_bloom};

}  // namespace alambic
