// A family: how one published architecture names its sizes (config.json) and its weights. One file
// per family; all of them run on the one Transformer.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "alambic/models/model_config.h"
#include "alambic/models/stored_tensor.h"

namespace alambic {

struct Family {
  std::string_view model_type;  // of config.json
  ModelConfig (*read_config)(const Json& config, std::string_view where);
  // What Python's transformers needs to open the model.
  Json (*write_config)(const ModelConfig& config);
  // Where a parameter of ours ("layers.3.query", "layers.3.query_bias") lies.
  StoredTensor (*stored)(std::string_view parameter);
};

extern const Family kLlama, kMistral, kQwen2, kQwen3, kGpt2, kGptJ, kGptNeox, kBloom, kLlada,
    kDream;
std::span<const Family* const> families();
// The family of a config.json; kUnsupported naming the model_type and what there is.
const Family& family_of(const Json& config, std::string_view where);
// By ModelConfig::family.
const Family& family_named(std::string_view model_type);

}  // namespace alambic
