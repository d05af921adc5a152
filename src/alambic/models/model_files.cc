#include "alambic/models/model_files.h"

#include <filesystem>

#include "alambic/base/sha256.h"
#include "alambic/models/adapters.h"
#include "alambic/models/gguf_model.h"
#include "alambic/models/hf_directory.h"
#include "alambic/models/safetensors_model.h"

namespace alambic {

std::vector<std::string> weight_files(const std::string& model) {
  if (is_adapter_directory(model)) {
    std::vector<std::string> files = weight_files(adapter_base(model));
    files.push_back(model + "/adapter_config.json");
    files.push_back(model + "/adapter_model.safetensors");
    return files;
  }
  if (is_gguf(model)) return {model};
  return SafetensorsSet(model).paths();
}

std::vector<std::string> model_notes(const std::string& model) {
  if (is_adapter_directory(model)) return model_notes(adapter_base(model));
  if (is_gguf(model) || !holds_weights(model)) return {};
  const std::string where = model + "/config.json";
  const Json json = read_json_file(where);
  const bool said_tied = family_of(json, where).read_config(json, where).tied_head;
  return notes_on_weights(SafetensorsSet(model), said_tied, read_model_config(model));
}

std::string weights_checksum(const std::string& model) {
  const std::vector<std::string> files = weight_files(model);
  if (files.size() == 1) return sha256_of_file(files.front());
  std::string lines;
  for (const std::string& file : files) {
    lines += sha256_of_file(file) + "  " + std::filesystem::path(file).filename().string() + "\n";
  }
  return sha256_of(lines);
}

}  // namespace alambic
