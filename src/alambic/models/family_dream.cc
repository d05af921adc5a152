// Dream (arXiv 2508.15487): Qwen2's form and names, every row seeing every row, and [MASK] tokens
// to be resolved. Its rows keep an autoregressive habit: row i speaks of token i + 1.
#include "alambic/models/config_keys.h"

namespace alambic {
namespace {

ModelConfig read_dream(const Json& json, std::string_view where) {
  ModelConfig c = read_llama_like(json, where, "Dream", 2048);
  c.qkv_bias = true;
  c.causal = false;
  c.shifted_rows = true;
  c.mask = optional<int>(json, "mask_token_id", -1, where);
  expect_value(json, "use_sliding_window", false, where);
  return c;
}

Json write_dream(const ModelConfig& c) {
  Json json = write_llama_like(c, "DreamModel");
  json["mask_token_id"] = c.mask;
  json["auto_map"] = {{"AutoConfig", "configuration_dream.DreamConfig"},
                      {"AutoModel", "modeling_dream.DreamModel"}};
  return json;
}

}  // namespace

const Family kDream = {"Dream", read_dream, write_dream, stored_like_llama};

}  // namespace alambic
