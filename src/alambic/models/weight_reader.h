// The weights of a model file, parameter by parameter, and the loading that every format shares.
//
// Ownership: a reader holds its open file. Thread safety: one thread.
// Errors: files are hostile; kCorruptData names the file, the tensor, its shape and the shape
// wanted, before anything of that size is allocated. kResourceExhausted where the weights cannot
// fit this machine's memory.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "alambic/models/model_card.h"
#include "alambic/models/stored_tensor.h"
#include "alambic/models/transformer.h"

namespace alambic {

struct LoadedModel {
  std::unique_ptr<Transformer> model;
  ModelCard card;
  int64_t file_bytes = 0;
};

class WeightReader {
 public:
  explicit WeightReader(const ModelConfig& config) : config_(config) {}
  virtual ~WeightReader() = default;
  WeightReader(const WeightReader&) = delete;
  WeightReader& operator=(const WeightReader&) = delete;

  const ModelConfig& config() const { return config_; }
  // Where the parameter lies, under the name that the file has, its shape checked.
  virtual StoredTensor locate(std::string_view parameter, const Shape& own) const = 0;
  // Its numbers. Each parameter is asked for once.
  virtual Tensor floats(std::string_view parameter, const Shape& own);
  // The numbers of a located tensor where they are plain bf16; else empty.
  virtual std::span<const std::byte> bf16(const StoredTensor& stored) const = 0;
  // Lets go of the memory behind a tensor that has been read.
  virtual void forget(const StoredTensor& stored) const = 0;
  virtual int64_t elements() const = 0;  // of all tensors
  virtual int64_t bytes() const = 0;
  virtual const std::string& path() const = 0;

 protected:
  // Every number of a located tensor, in the order of the file.
  virtual void read(const StoredTensor& stored, std::span<float> whole) const = 0;

 private:
  const ModelConfig& config_;
  struct Fused {
    Tensor whole;
    int left = 0;  // parts that nobody has taken yet
  };
  std::map<std::string, Fused> fused_;
};

[[noreturn]] void fail_missing(const std::string& path, const std::string& tensor);
// Both shapes outermost dimension first.
[[noreturn]] void fail_shape(const std::string& path, const std::string& tensor,
                             std::span<const int64_t> got, std::span<const int64_t> want);
void check_memory(const ModelConfig& config, int64_t bytes_per_weight, const std::string& path);

// As fp32, or packed for inference at one precision. The card is the caller's to fill in.
LoadedModel load_weights(WeightReader& reader, std::optional<Precision> packed);

}  // namespace alambic
