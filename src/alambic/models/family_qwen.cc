// Qwen2 and Qwen2.5 (arXiv 2407.10671, 2412.15115): LLaMA with biases on queries, keys and values.
// Qwen3 (arXiv 2505.09388): no biases, queries and keys normed head by head.
#include "alambic/models/config_keys.h"

namespace alambic {
namespace {

// What Python's transformers takes for granted where the file is silent.
constexpr int kUsualPositions = 32768, kUsualWindow = 4096, kUsualFullLayers = 28;

// The upper layers slide, if any: by "layer_types", or by "max_window_layers" in older files.
void read_window(const Json& json, std::string_view where, ModelConfig& c) {
  const std::optional<int> from = read_sliding_layers(json, where, c.layers);
  if (!optional<bool>(json, "use_sliding_window", false, where)) {
    if (from && *from < c.layers) {
      fail(ErrorCode::kUnsupported,
           "[{}] layer_types has sliding_attention and use_sliding_window is false; want them to "
           "agree",
           where);
    }
    return;
  }
  const bool silent = !json.contains("sliding_window");  // null is no window
  c.window = silent ? kUsualWindow : optional<int>(json, "sliding_window", 0, where);
  c.window_from = from ? *from : optional<int>(json, "max_window_layers", kUsualFullLayers, where);
  if (c.window_from >= c.layers) c.window = 0;
  if (c.window == 0) c.window_from = 0;
  if (c.window == 0 && from && *from < c.layers) {
    fail(ErrorCode::kCorruptData,
         "[{}] layer_types has sliding_attention and sliding_window is {}; want a count", where,
         dump_json(json.at("sliding_window")));
  }
}

void write_window(const ModelConfig& c, Json& json) {
  json["use_sliding_window"] = c.window > 0;
  json["sliding_window"] = c.window > 0 ? Json(c.window) : Json(nullptr);
  json["max_window_layers"] = c.window > 0 ? c.window_from : c.layers;
}

ModelConfig read_qwen2(const Json& json, std::string_view where) {
  ModelConfig c = read_llama_like(json, where, "qwen2", kUsualPositions);
  c.qkv_bias = true;
  read_window(json, where, c);
  return c;
}

Json write_qwen2(const ModelConfig& c) {
  Json json = write_llama_like(c, "Qwen2ForCausalLM");
  write_window(c, json);
  return json;
}

ModelConfig read_qwen3(const Json& json, std::string_view where) {
  ModelConfig c = read_llama_like(json, where, "qwen3", kUsualPositions);
  c.qkv_bias = c.output_bias = optional<bool>(json, "attention_bias", false, where);
  c.head_norms = true;
  read_window(json, where, c);
  return c;
}

Json write_qwen3(const ModelConfig& c) {
  Json json = write_llama_like(c, "Qwen3ForCausalLM");
  json["attention_bias"] = c.qkv_bias;
  write_window(c, json);
  return json;
}

}  // namespace

const Family kQwen2 = {"qwen2", read_qwen2, write_qwen2, stored_like_llama};
const Family kQwen3 = {"qwen3", read_qwen3, write_qwen3, stored_like_llama};

}  // namespace alambic
