// Writing GGUF files: metadata, a directory of tensors, then their bytes, streamed.
//
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3, little endian.
// Ownership: plain values; a GgufWriter owns the unfinished file. Thread safety: one thread.
// Errors: kIo from the system. What was not committed leaves nothing behind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/file.h"
#include "alambic/formats/gguf.h"

namespace alambic {

// Typed keys in the order in which they were put; no key twice.
class GgufMetadata {
 public:
  void put(std::string_view key, uint32_t value);
  void put(std::string_view key, int32_t value);
  void put(std::string_view key, float value);
  void put(std::string_view key, bool value);
  void put(std::string_view key, std::string_view value);
  // Or the literal would be a truth value.
  void put(std::string_view key, const char* value) { put(key, std::string_view(value)); }
  void put(std::string_view key, const std::vector<bool>& values);
  void put(std::string_view key, std::span<const int8_t> values);
  void put(std::string_view key, std::span<const int32_t> values);
  void put(std::string_view key, std::span<const float> values);
  void put(std::string_view key, std::span<const std::string> values);

  uint64_t count() const { return count_; }
  const std::string& bytes() const { return bytes_; }

 private:
  void open(std::string_view key, GgufType type);
  void open_array(std::string_view key, GgufType element, size_t count);

  std::string bytes_;
  uint64_t count_ = 0;
};

// A tensor to come; dims innermost first, rows of whole blocks.
struct GgufTensorPlan {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<int64_t> dims;
};

class GgufWriter {
 public:
  GgufWriter(const std::string& path, const GgufMetadata& metadata,
             std::span<const GgufTensorPlan> tensors);
  // The bytes of the next tensor, exactly as many as its plan says.
  void append(std::span<const std::byte> bytes);
  // After the last tensor: the file takes its name.
  void commit();

 private:
  void pad();

  AtomicFile file_;
  std::vector<size_t> sizes_;  // of the tensors, in order
  size_t next_ = 0;
  uint64_t written_ = 0;
};

}  // namespace alambic
