// LLaMA as Hugging Face transformers stores it (LlamaForCausalLM).
#include <fmt/format.h>

#include <map>

#include "alambic/models/family.h"

namespace alambic {
namespace {

ModelConfig read_config(const Json& json, std::string_view where) {
  ModelConfig c;
  c.family = "llama";
  c.vocab_size = require<int>(json, "vocab_size", where);
  c.dim = require<int>(json, "hidden_size", where);
  c.layers = require<int>(json, "num_hidden_layers", where);
  c.heads = require<int>(json, "num_attention_heads", where);
  c.ffn = require<int>(json, "intermediate_size", where);
  c.kv_heads = optional<int>(json, "num_key_value_heads", c.heads, where);
  c.head_dim = optional<int>(json, "head_dim", c.heads > 0 ? c.dim / c.heads : 0, where);
  c.max_positions = optional<int>(json, "max_position_embeddings", 2048, where);
  c.rope_theta = optional<double>(json, "rope_theta", 10000.0, where);
  if (const auto rope = json.find("rope_parameters");
      rope != json.end() && rope->is_object()) {  // transformers 5
    c.rope_theta = optional<double>(*rope, "rope_theta", c.rope_theta, where);
    const auto type = optional<std::string>(*rope, "rope_type", "default", where);
    if (type != "default")
      fail(ErrorCode::kUnsupported, "[{}] rope_type \"{}\"; want \"default\"", where, type);
  }
  c.norm_eps = optional<float>(json, "rms_norm_eps", 1e-6F, where);
  c.tied_head = optional<bool>(json, "tie_word_embeddings", false, where);
  c.bos = optional<int>(json, "bos_token_id", -1, where);
  const auto eos = json.find("eos_token_id");
  c.eos = eos != json.end() && eos->is_array() && !eos->empty() && eos->front().is_number_integer()
              ? eos->front().get<int>()
              : optional<int>(json, "eos_token_id", -1, where);
  const auto act = optional<std::string>(json, "hidden_act", "silu", where);
  if (act != "silu")
    fail(ErrorCode::kUnsupported, "[{}] hidden_act \"{}\"; want \"silu\"", where, act);
  if (optional<bool>(json, "attention_bias", false, where) ||
      optional<bool>(json, "mlp_bias", false, where)) {
    fail(ErrorCode::kUnsupported, "[{}] attention_bias and mlp_bias are not supported", where);
  }
  if (json.contains("rope_scaling") && !json.at("rope_scaling").is_null()) {
    fail(ErrorCode::kUnsupported, "[{}] rope_scaling is not supported", where);
  }
  return c;
}

Json write_config(const ModelConfig& c) {
  Json json = {{"architectures", {"LlamaForCausalLM"}},
               {"model_type", "llama"},
               {"vocab_size", c.vocab_size},
               {"hidden_size", c.dim},
               {"num_hidden_layers", c.layers},
               {"num_attention_heads", c.heads},
               {"num_key_value_heads", c.kv_heads},
               {"head_dim", c.head_dim},
               {"intermediate_size", c.ffn},
               {"max_position_embeddings", c.max_positions},
               {"rope_theta", c.rope_theta},
               {"rms_norm_eps", c.norm_eps},
               {"tie_word_embeddings", c.tied_head},
               {"hidden_act", "silu"},
               {"attention_bias", false},
               {"attention_dropout", 0.0},
               {"mlp_bias", false},
               {"initializer_range", 0.02},
               {"rope_scaling", nullptr},
               {"use_cache", true}};
  if (c.bos >= 0) json["bos_token_id"] = c.bos;
  if (c.eos >= 0) json["eos_token_id"] = c.eos;
  return json;
}

std::string tensor_name(std::string_view parameter) {
  static const std::map<std::string_view, std::string_view> kWhole = {
      {"embedding", "model.embed_tokens.weight"},
      {"final_norm", "model.norm.weight"},
      {"head", "lm_head.weight"}};
  static const std::map<std::string_view, std::string_view> kInLayer = {
      {"attention_norm", "input_layernorm"},
      {"mlp_norm", "post_attention_layernorm"},
      {"query", "self_attn.q_proj"},
      {"key", "self_attn.k_proj"},
      {"value", "self_attn.v_proj"},
      {"output", "self_attn.o_proj"},
      {"gate", "mlp.gate_proj"},
      {"up", "mlp.up_proj"},
      {"down", "mlp.down_proj"}};
  if (const auto it = kWhole.find(parameter); it != kWhole.end()) return std::string(it->second);
  const size_t dot = parameter.rfind('.');  // "layers.3.query"
  return fmt::format("model.{}.{}.weight", parameter.substr(0, dot),
                     kInLayer.at(parameter.substr(dot + 1)));
}

}  // namespace

const Family& llama_family() {
  static const Family family{"llama", read_config, write_config, tensor_name};
  return family;
}

const Family& family_of(const Json& config, std::string_view where) {
  const auto type = require<std::string>(config, "model_type", where);
  if (type == llama_family().model_type) return llama_family();
  fail(ErrorCode::kUnsupported, "[{}] model_type \"{}\"; this version reads \"llama\"", where,
       type);
}

}  // namespace alambic
