// LLaMA 1, 2 and 3 (arXiv 2302.13971, 2307.09288, 2407.21783) and what borrows their form, SmolLM
// among them, as Hugging Face transformers stores LlamaForCausalLM.
#include "alambic/models/config_keys.h"

namespace alambic {
namespace {

ModelConfig read_llama(const Json& json, std::string_view where) {
  ModelConfig c = read_llama_like(json, where, "llama", 2048);
  if (const auto from = read_sliding_layers(json, where, c.layers); from && *from < c.layers) {
    fail(ErrorCode::kUnsupported,
         "[{}] layer_types has sliding_attention; supported for llama: full_attention", where);
  }
  c.qkv_bias = c.output_bias = optional<bool>(json, "attention_bias", false, where);
  return c;
}

Json write_llama(const ModelConfig& c) {
  Json json = write_llama_like(c, "LlamaForCausalLM");
  json["attention_bias"] = c.qkv_bias;
  json["mlp_bias"] = false;
  return json;
}

}  // namespace

const Family kLlama = {"llama", read_llama, write_llama, stored_like_llama};

}  // namespace alambic
