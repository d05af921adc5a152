// Mistral (arXiv 2310.06825): LLaMA with a sliding window in every layer.
#include "alambic/models/config_keys.h"

namespace alambic {
namespace {

ModelConfig read_mistral(const Json& json, std::string_view where) {
  ModelConfig c = read_llama_like(json, where, "mistral");
  c.window = optional<int>(json, "sliding_window", 0, where);
  return c;
}

Json write_mistral(const ModelConfig& c) {
  Json json = write_llama_like(c, "MistralForCausalLM");
  json["sliding_window"] = c.window > 0 ? Json(c.window) : Json(nullptr);
  return json;
}

}  // namespace

const Family kMistral = {"mistral", read_mistral, write_mistral, stored_like_llama};

}  // namespace alambic
