// The weights of a Hugging Face directory as a model reads them, and what they say beyond its
// config.json.
//
// Ownership: a reader holds its open files. Thread safety: one thread. Errors: files are hostile;
// kCorruptData and kUnsupported name the file and the tensor.
#pragma once

#include <string>
#include <vector>

#include "alambic/formats/safetensors_set.h"
#include "alambic/models/family.h"
#include "alambic/models/weight_reader.h"

namespace alambic {

class SafetensorsReader final : public WeightReader {
 public:
  SafetensorsReader(const std::string& directory, const ModelConfig& config);

  // Base models lack the outermost part of every name, and a tied pair may be stored under either
  // name.
  StoredTensor locate(std::string_view parameter, const Shape& own) const override;
  std::span<const std::byte> bf16(const StoredTensor& stored) const override;
  void forget(const StoredTensor& stored) const override;
  int64_t elements() const override { return files_.elements(); }
  int64_t bytes() const override { return files_.bytes(); }
  const std::string& path() const override { return files_.path(); }

 protected:
  void read(const StoredTensor& stored, std::span<float> whole) const override;

 private:
  SafetensorsSet files_;
  const Family& family_;
};

// Where the tensors and `config`, as config.json gave it, disagree. A stored head that is not the
// embedding unties the model. A tensor inside the network that the settings leave no place for is
// refused: without it the results would be others.
void settle_with_weights(const SafetensorsSet& files, ModelConfig& config);
// What was settled so, and what is not used, in words, a line each. `said_tied`: by config.json.
std::vector<std::string> notes_on_weights(const SafetensorsSet& files, bool said_tied,
                                          const ModelConfig& settled);

}  // namespace alambic
