#include "alambic/formats/safetensors_set.h"

#include <fmt/format.h>

#include "alambic/base/json.h"

namespace alambic {
namespace {

constexpr size_t kMostShards = 10000;

}  // namespace

SafetensorsSet::SafetensorsSet(const std::string& directory) {
  const std::string single = directory + "/model.safetensors";
  const std::string index = single + ".index.json";
  if (file_exists(single) || !file_exists(index)) {
    if (!file_exists(single) && file_exists(directory + "/pytorch_model.bin")) {
      fail(ErrorCode::kUnsupported,
           "[{}] holds pytorch_model.bin, which runs code when it is read; convert it to "
           "model.safetensors",
           directory);
    }
    path_ = single;
    files_.push_back(std::make_unique<SafetensorsFile>(single));
    return;
  }
  path_ = index;
  const Json json = read_json_file(index);
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (!json.is_object() || map == json.end() || !map->is_object())
    fail(ErrorCode::kCorruptData, "[{}] key \"weight_map\" is missing or no object", index);
  std::map<std::string, size_t> files;
  for (const auto& [tensor, file] : map->items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name.find('/') != std::string::npos) {
      fail(ErrorCode::kCorruptData, "[{}] tensor {}: got {}, want the name of a file beside it",
           index, tensor, dump_json(file));
    }
    const auto [at, fresh] = files.emplace(name, files.size());
    if (fresh) {
      if (files.size() > kMostShards)
        fail(ErrorCode::kCorruptData, "[{}] lists more than {} files", index, kMostShards);
      files_.push_back(std::make_unique<SafetensorsFile>(fmt::format("{}/{}", directory, name)));
    }
    if (files_[at->second]->find(tensor) == nullptr) {
      fail(ErrorCode::kCorruptData, "[{}] tensor {} is not in {}, where the index puts it", index,
           tensor, name);
    }
    shard_of_.emplace(tensor, at->second);
  }
  if (files_.empty()) fail(ErrorCode::kCorruptData, "[{}] lists no tensors", index);
}

const TensorEntry* SafetensorsSet::find(std::string_view name) const {
  if (shard_of_.empty()) return files_.front()->find(name);
  const auto at = shard_of_.find(name);
  return at == shard_of_.end() ? nullptr : files_[at->second]->find(name);
}

void SafetensorsSet::forget(const TensorEntry& entry) const {
  const auto at = shard_of_.find(entry.name);
  files_[at == shard_of_.end() ? 0 : at->second]->forget(entry);
}

std::vector<const TensorEntry*> SafetensorsSet::entries() const {
  std::vector<const TensorEntry*> all;
  for (const auto& file : files_) {
    all.reserve(all.size() + file->entries().size());
    for (const TensorEntry& entry : file->entries()) all.push_back(&entry);
  }
  return all;
}

int64_t SafetensorsSet::elements() const {
  int64_t count = 0;
  for (const TensorEntry* entry : entries()) count += element_count(entry->shape);
  return count;
}

int64_t SafetensorsSet::bytes() const {
  int64_t count = 0;
  for (const TensorEntry* entry : entries()) count += static_cast<int64_t>(entry->bytes.size());
  return count;
}

}  // namespace alambic
