// Mistral (arXiv 2310.06825): LLaMA with a sliding window in every layer.
#include "alambic/models/config_keys.h"

namespace alambic {
namespace {

// What Python's transformers takes for granted where the file is silent.
constexpr int kMistralPositions = 131072, kMistralWindow = 4096;

ModelConfig read_mistral(const Json& json, std::string_view where) {
  ModelConfig c = read_llama_like(json, where, "mistral", kMistralPositions);
  const bool silent = !json.contains("sliding_window");  // null is no window
  c.window = silent ? kMistralWindow : optional<int>(json, "sliding_window", 0, where);
  const int slides_from = c.window > 0 ? 0 : c.layers;
  if (const auto from = read_sliding_layers(json, where, c.layers); from && *from != slides_from) {
    fail(ErrorCode::kUnsupported,
         "[{}] layer_types and sliding_window = {} contradict each other; supported: a window in "
         "every layer, or none",
         where, c.window);
  }
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
