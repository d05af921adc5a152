// What the families' config.json readers and writers have in common.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "alambic/models/family.h"

namespace alambic {

// The ids that most files have: bos_token_id, eos_token_id (one or a list).
void read_ids(const Json& json, std::string_view where, ModelConfig& config);
// The end tokens of one more file, behind those that are known.
void add_end_tokens(const Json& json, std::string_view where, ModelConfig& config);
void write_ids(const ModelConfig& config, Json& json);

// kUnsupported unless the key is absent, null, or has the value that alambic computes with.
void expect_value(const Json& json, const char* key, const Json& value, std::string_view where);

// "gelu" or its tanh form by any of its names.
Activation read_gelu(const Json& json, const char* key, const char* fallback,
                     std::string_view where);
const char* gelu_name(Activation activation);

// Everything that LLaMA and its descendants spell alike: sizes, rope, norm, tied head.
// `max_positions`: where the file says none, as in Python's transformers.
ModelConfig read_llama_like(const Json& json, std::string_view where, const char* family,
                            int max_positions);
// "layer_types": from which layer on they slide, `layers` where none does; nullopt where there is
// no such list. kCorruptData for a list of another length, kUnsupported for other kinds of layers,
// or full attention above sliding attention.
std::optional<int> read_sliding_layers(const Json& json, std::string_view where, int layers);
Json write_llama_like(const ModelConfig& config, const char* architecture);
StoredTensor stored_like_llama(std::string_view parameter);

// "layers.3.query_bias" -> layer "3", part "query", bias; a parameter outside the layers has no
// layer.
struct ParameterName {
  explicit ParameterName(std::string_view parameter);
  std::string layer, part;
  bool bias = false;
  const char* suffix() const { return bias ? ".bias" : ".weight"; }
};

}  // namespace alambic
