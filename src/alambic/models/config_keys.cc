#include "alambic/models/config_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace alambic {

void read_ids(const Json& json, std::string_view where, ModelConfig& c) {
  c.bos = optional<int>(json, "bos_token_id", -1, where);
  c.eos.clear();
  add_end_tokens(json, where, c);
}

void add_end_tokens(const Json& json, std::string_view where, ModelConfig& c) {
  constexpr const char* kKey = "eos_token_id";
  const auto listed = json.is_object() ? json.find(kKey) : json.end();
  std::vector<int> ids;
  if (listed != json.end() && listed->is_array()) {
    ids.reserve(listed->size());
    for (const Json& id : *listed) ids.push_back(require<int>(Json{{kKey, id}}, kKey, where));
  } else if (const int id = optional<int>(json, kKey, -1, where); id != -1) {
    ids.push_back(id);
  }
  std::set<TokenId> known(c.eos.begin(), c.eos.end());
  for (const int id : ids) {
    if (known.insert(id).second) c.eos.push_back(id);
  }
}

void write_ids(const ModelConfig& c, Json& json) {
  if (c.bos >= 0) json["bos_token_id"] = c.bos;
  if (!c.eos.empty()) json["eos_token_id"] = c.eos.size() == 1 ? Json(c.eos.front()) : Json(c.eos);
}

void expect_value(const Json& json, const char* key, const Json& value, std::string_view where) {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null() || *it == value) return;
  fail(ErrorCode::kUnsupported, "[{}] {} = {}; supported: {}", where, key, dump_json(*it),
       dump_json(value));
}

Activation read_gelu(const Json& json, const char* key, const char* fallback,
                     std::string_view where) {
  const auto name = optional<std::string>(json, key, fallback, where);
  if (name == "gelu") return Activation::kGelu;
  if (name == "gelu_new" || name == "gelu_fast" || name == "gelu_pytorch_tanh")
    return Activation::kGeluTanh;
  fail(ErrorCode::kUnsupported,
       "[{}] {} \"{}\"; supported: gelu, gelu_new, gelu_fast, gelu_pytorch_tanh", where, key, name);
}

const char* gelu_name(Activation activation) {
  return activation == Activation::kGelu ? "gelu" : "gelu_new";
}

std::optional<int> read_sliding_layers(const Json& json, std::string_view where, int layers) {
  const auto types = optional<std::vector<std::string>>(json, "layer_types", {}, where);
  if (types.empty()) return std::nullopt;
  if (std::cmp_not_equal(types.size(), layers)) {
    fail(ErrorCode::kCorruptData, "[{}] layer_types names {} layers; num_hidden_layers is {}",
         where, types.size(), layers);
  }
  int from = layers;
  for (int i = 0; i < layers; ++i) {
    const std::string& type = types[static_cast<size_t>(i)];
    if (type != "full_attention" && type != "sliding_attention") {
      fail(ErrorCode::kUnsupported,
           "[{}] layer_types names {}; supported: full_attention, sliding_attention", where,
           dump_json(Json(type.substr(0, 80))));
    }
    if (type == "sliding_attention") {
      from = std::min(from, i);
    } else if (from < i) {
      fail(ErrorCode::kUnsupported,
           "[{}] layer_types mix; supported: full_attention below, sliding_attention above", where);
    }
  }
  return from;
}

ModelConfig read_llama_like(const Json& json, std::string_view where, const char* family,
                            int max_positions) {
  ModelConfig c;
  c.family = family;
  c.vocab_size = require<int>(json, "vocab_size", where);
  c.dim = require<int>(json, "hidden_size", where);
  c.layers = require<int>(json, "num_hidden_layers", where);
  c.heads = require<int>(json, "num_attention_heads", where);
  c.ffn = require<int>(json, "intermediate_size", where);
  c.kv_heads = optional<int>(json, "num_key_value_heads", c.heads, where);
  c.head_dim = optional<int>(json, "head_dim", c.heads > 0 ? c.dim / c.heads : 0, where);
  c.max_positions = optional<int>(json, "max_position_embeddings", max_positions, where);
  c.norm_eps = optional<float>(json, "rms_norm_eps", 1e-6F, where);
  c.tied_head = optional<bool>(json, "tie_word_embeddings", false, where);
  read_rope(json, where, c);
  read_ids(json, where, c);
  expect_value(json, "hidden_act", "silu", where);
  expect_value(json, "mlp_bias", false, where);
  return c;
}

Json write_llama_like(const ModelConfig& c, const char* architecture) {
  Json json = {{"architectures", {architecture}},
               {"model_type", c.family},
               {"vocab_size", c.vocab_size},
               {"hidden_size", c.dim},
               {"num_hidden_layers", c.layers},
               {"num_attention_heads", c.heads},
               {"num_key_value_heads", c.kv_heads},
               {"head_dim", c.head_dim},
               {"intermediate_size", c.ffn},
               {"max_position_embeddings", c.max_positions},
               {"rope_theta", c.rope_theta},
               {"rope_scaling", rope_scaling_json(c)},
               {"rms_norm_eps", c.norm_eps},
               {"tie_word_embeddings", c.tied_head},
               {"hidden_act", "silu"},
               {"attention_dropout", 0.0},
               {"initializer_range", 0.02},
               {"use_cache", true}};
  if (c.rotary_dims() != c.head_dim)
    json["partial_rotary_factor"] = static_cast<double>(c.rotary_dims()) / c.head_dim;
  write_ids(c, json);
  return json;
}

StoredTensor stored_like_llama(std::string_view parameter) {
  static const std::map<std::string_view, std::string_view> kInLayer = {
      {"attention_norm", "input_layernorm"},
      {"mlp_norm", "post_attention_layernorm"},
      {"query", "self_attn.q_proj"},
      {"key", "self_attn.k_proj"},
      {"value", "self_attn.v_proj"},
      {"query_norm", "self_attn.q_norm"},
      {"key_norm", "self_attn.k_norm"},
      {"output", "self_attn.o_proj"},
      {"gate", "mlp.gate_proj"},
      {"up", "mlp.up_proj"},
      {"down", "mlp.down_proj"}};
  const ParameterName name(parameter);
  if (name.part == "embedding") return {"model.embed_tokens.weight"};
  if (name.part == "final_norm") return {"model.norm.weight"};
  if (name.part == "head") return {"lm_head.weight"};
  return {fmt::format("model.layers.{}.{}{}", name.layer, kInLayer.at(name.part), name.suffix())};
}

ParameterName::ParameterName(std::string_view parameter) {
  const size_t dot = parameter.rfind('.');
  if (dot != std::string_view::npos) {
    const size_t first = parameter.find('.') + 1;
    layer = parameter.substr(first, dot - first);
  }
  part = parameter.substr(dot == std::string_view::npos ? 0 : dot + 1);
  bias = part.ends_with("_bias");
  if (bias) part.resize(part.size() - std::string_view("_bias").size());
}

}  // namespace alambic
