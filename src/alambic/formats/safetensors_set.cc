#include "alambic/formats/safetensors_set.h"

#include <fmt/format.h>

#include <set>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/base/json.h"

namespace alambic {
namespace {

constexpr size_t kMostShards = 10000;

}  // namespace

bool holds_weights(const std::string& directory) {
  const std::string single = directory + "/model.safetensors";
  return file_exists(single) || file_exists(single + ".index.json");
}

std::map<std::string, std::string> SafetensorsSet::read_index(const std::string& index) {
  const Json json = read_json_file(index);
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (!json.is_object() || map == json.end() || !map->is_object())
    fail(ErrorCode::kCorruptData, "[{}] key \"weight_map\" is missing or no object", index);
  std::map<std::string, std::string> file_of;
  for (const auto& [tensor, file] : map->items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name.find('/') != std::string::npos) {
      fail(ErrorCode::kCorruptData, "[{}] tensor {}: got {}, want the name of a file beside it",
           index, tensor, dump_json(file));
    }
    file_of.emplace(tensor, name);
  }
  return file_of;
}

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
    paths_ = {single};
    files_.push_back(std::make_unique<SafetensorsFile>(single));
    if (file_exists(index)) note_beside(index);
    return;
  }
  path_ = index;
  std::map<std::string, size_t> files;
  for (const auto& [tensor, name] : read_index(index)) {
    const auto [at, fresh] = files.emplace(name, files.size());
    if (fresh) {
      if (files.size() > kMostShards)
        fail(ErrorCode::kCorruptData, "[{}] lists more than {} files", index, kMostShards);
      paths_.push_back(fmt::format("{}/{}", directory, name));
      if (!file_exists(paths_.back())) {
        fail(ErrorCode::kNotFound,
             "[{}] names {}, which is not there; want every file of the model", index, name);
      }
      files_.push_back(std::make_unique<SafetensorsFile>(paths_.back()));
    }
    if (files_[at->second]->find(tensor) == nullptr) {
      fail(ErrorCode::kCorruptData, "[{}] tensor {} is not in {}, where the index puts it", index,
           tensor, name);
    }
    shard_of_.emplace(tensor, at->second);
  }
  if (files_.empty()) fail(ErrorCode::kCorruptData, "[{}] lists no tensors", index);
}

// The one file is read, as Python's transformers does; an index may be of another model.
void SafetensorsSet::note_beside(const std::string& index) {
  std::set<std::string> others;
  try {
    for (const auto& [tensor, name] : read_index(index)) others.insert(name);
  } catch (const Error&) {
    note_ = fmt::format("[{}] is not read: model.safetensors lies beside it and is used", index);
    return;
  }
  others.erase("model.safetensors");
  if (others.empty()) return;
  note_ = fmt::format(
      "[{}] names {} ({} in all), and model.safetensors lies beside it: model.safetensors is used, "
      "the index is not",
      index, *others.begin(), others.size());
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
