// The weights of a model directory: model.safetensors, or the shards that
// model.safetensors.index.json lists.
//
// Ownership, thread safety: as SafetensorsFile, of which it holds one per file. Errors: the
// directory is hostile; kCorruptData names the file and the tensor, kNotFound says what is missing.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/formats/safetensors.h"

namespace alambic {

// Whether a directory has either.
bool holds_weights(const std::string& directory);

class SafetensorsSet {
 public:
  explicit SafetensorsSet(const std::string& directory);

  // Null if there is no such tensor.
  const TensorEntry* find(std::string_view name) const;
  // Lets go of the memory behind a tensor that has been read.
  void forget(const TensorEntry& entry) const;
  std::vector<const TensorEntry*> entries() const;
  int64_t elements() const;  // of all tensors
  int64_t bytes() const;
  const std::string& path() const { return path_; }  // of the one file, or of the index
  const std::vector<std::string>& paths() const { return paths_; }  // of the files with tensors
  // What lies beside the files that are read and says something else; "" where nothing does.
  const std::string& note() const { return note_; }

 private:
  // The name of each tensor's file.
  static std::map<std::string, std::string> read_index(const std::string& index);
  void note_beside(const std::string& index);

  std::string path_, note_;
  std::vector<std::string> paths_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, size_t, std::less<>> shard_of_;  // empty: one file
};

}  // namespace alambic
