// A family: how one published architecture names its sizes (config.json) and its weights. One file
// per family.
#pragma once

#include <string>
#include <string_view>

#include "alambic/models/model_config.h"

namespace alambic {

struct Family {
  std::string_view model_type;
  ModelConfig (*read_config)(const Json& config, std::string_view where);
  Json (*write_config)(const ModelConfig& config);
  // Our parameter name -> the checkpoint's tensor name.
  std::string (*tensor_name)(std::string_view parameter);
};

const Family& llama_family();
// The family of a config.json; kUnsupported naming the model_type if there is none.
const Family& family_of(const Json& config, std::string_view where);

}  // namespace alambic
