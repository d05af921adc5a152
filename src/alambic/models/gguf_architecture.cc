#include "alambic/models/gguf_architecture.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "alambic/base/error.h"
#include "alambic/models/config_keys.h"

namespace alambic {
namespace {

constexpr GgufArchitecture kArchitectures[] = {
    {"llama", "llama", false, true},
    {"qwen2", "qwen2"},
    {"qwen3", "qwen3"},
    {"gpt2", "gpt2", true},
    {"gptneox", "gpt_neox", true},
    {"bloom", "bloom", true},
};

std::string names(std::string_view GgufArchitecture::*member) {
  std::string list;
  for (const GgufArchitecture& a : kArchitectures)
    list += fmt::format("{}{}", list.empty() ? "" : ", ", a.*member);
  return list;
}

}  // namespace

const GgufArchitecture& gguf_architecture(std::string_view name, std::string_view where) {
  for (const GgufArchitecture& a : kArchitectures) {
    if (a.name == name) return a;
  }
  fail(ErrorCode::kUnsupported, "[{}] architecture {}; supported: {}", where,
       dump_json(Json(name.substr(0, 80))), names(&GgufArchitecture::name));
}

const GgufArchitecture& gguf_architecture_for(const ModelConfig& config, std::string_view where) {
  // Mistral is a LLaMA with a window.
  const std::string_view family =
      config.family == "mistral" ? std::string_view("llama") : std::string_view(config.family);
  for (const GgufArchitecture& a : kArchitectures) {
    if (a.family == family) return a;
  }
  fail(ErrorCode::kUnsupported, "[{}] a model of the family {} as GGUF; supported: {}, mistral",
       where, config.family, names(&GgufArchitecture::family));
}

StoredTensor stored_in_gguf(const GgufArchitecture& architecture, std::string_view parameter) {
  static const std::map<std::string_view, std::string_view> kOutside = {
      {"embedding", "token_embd"},
      {"embedding_norm", "token_embd_norm"},
      {"positions", "position_embd"},
      {"final_norm", "output_norm"},
      {"head", "output"}};
  static const std::map<std::string_view, std::string_view> kInLayer = {
      {"attention_norm", "attn_norm"},
      {"query", "attn_q"},
      {"key", "attn_k"},
      {"value", "attn_v"},
      {"query_norm", "attn_q_norm"},
      {"key_norm", "attn_k_norm"},
      {"output", "attn_output"},
      {"mlp_norm", "ffn_norm"},
      {"gate", "ffn_gate"},
      {"up", "ffn_up"},
      {"down", "ffn_down"}};
  const ParameterName name(parameter);
  if (name.layer.empty()) return {fmt::format("{}{}", kOutside.at(name.part), name.suffix())};
  constexpr std::string_view kFused[] = {"query", "key", "value"};
  const auto* const part = std::find(std::begin(kFused), std::end(kFused), name.part);
  if (architecture.fused && part != std::end(kFused)) {
    return {fmt::format("blk.{}.attn_qkv{}", name.layer, name.suffix()), false,
            static_cast<int>(part - std::begin(kFused)), 3};
  }
  return {fmt::format("blk.{}.{}{}", name.layer, kInLayer.at(name.part), name.suffix())};
}

bool has_rotary_rows(const GgufArchitecture& architecture, std::string_view parameter) {
  const ParameterName name(parameter);
  return architecture.neighbours && !name.layer.empty() &&
         (name.part == "query" || name.part == "key");
}

void reorder_rotary_rows(Tensor& rows, int head_dim, RotaryRows to) {
  const int64_t count = rows.shape()[0], width = rows.size() / count, half = head_dim / 2;
  std::vector<float> head(static_cast<size_t>(head_dim * width));
  for (int64_t first = 0; first < count; first += head_dim) {
    float* own = rows.data() + first * width;
    std::copy_n(own, head_dim * width, head.data());
    for (int64_t i = 0; i < head_dim; ++i) {
      const int64_t neighbour = i % half * 2 + i / half;  // where row i of the halves lies
      const int64_t from = to == RotaryRows::kHalves ? neighbour : i;
      const int64_t at = to == RotaryRows::kHalves ? i : neighbour;
      std::copy_n(head.data() + from * width, width, own + at * width);
    }
  }
}

}  // namespace alambic
