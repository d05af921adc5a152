// GGUF files: typed key-value metadata, a directory of tensors, then their bytes. Container only:
// what the keys mean is the business of readers of models and vocabularies.
//
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little
// endian.
// Ownership: a GgufFile owns the memory map; values, names and spans point into it and die with it.
// The bytes of a tensor may lie at any address: read them with memcpy. Thread safety: a loaded file
// is immutable and may be read from many threads.
// Errors: the file is hostile. Lengths, counts, duplicate names, shapes against sizes, offsets,
// overlaps and truncation are checked before the constructor returns, and nothing is allocated on
// the word of a count: kCorruptData naming the file and the key or tensor; kUnsupported for another
// version or byte order, and for a tensor type that alambic cannot size when its bytes are asked
// for; kNotFound and kIo from the system.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/file.h"

namespace alambic {

enum class GgufType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};
const char* gguf_type_name(GgufType type);

// A metadata value as it lies in the file; checked when the file was read.
struct GgufValue {
  GgufType type = GgufType::kUint8;
  GgufType element = GgufType::kUint8;  // of an array
  uint64_t count = 1;                   // elements of an array
  std::span<const std::byte> bytes;     // after type and count
};

// The element types of tensors that alambic can size; files may name others.
enum class GgmlType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBf16 = 30,
};
// A row is a whole number of blocks, each `elements` values in `bytes` bytes; {0, 0} for a type
// that alambic cannot size.
struct GgmlBlock {
  int64_t elements, bytes;
};
GgmlBlock ggml_block(GgmlType type);
// "Q4_K", or "type 77" where the number has no name.
std::string ggml_type_name(GgmlType type);

struct GgufTensor {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<int64_t> dims;         // innermost first, 1 to 4
  uint64_t offset = 0;               // in the data part of the file
  std::span<const std::byte> bytes;  // empty where the type cannot be sized: see bytes_of()
};

class GgufFile {
 public:
  explicit GgufFile(const std::string& path);
  // The same checks on bytes in memory, which must outlive the result; `where` opens the error
  // lines.
  static GgufFile parse(std::span<const std::byte> file, std::string_view where);

  uint32_t version() const { return version_; }
  const std::map<std::string_view, GgufValue>& metadata() const { return metadata_; }
  // Null if there is no such key.
  const GgufValue* find(std::string_view key) const;

  // The value of a key; kCorruptData naming the file and the key where it is missing, of another
  // kind or out of range. T: bool; an integer (from any integer of the file that fits); float or
  // double; std::string_view.
  template <class T>
  T require(std::string_view key) const;
  // The same with a value for a missing key.
  template <class T>
  T optional(std::string_view key, T fallback) const {
    return find(key) == nullptr ? fallback : require<T>(key);
  }
  // The elements of an array, for the same T except bool. Strings are views into the file.
  template <class T>
  std::vector<T> require_array(std::string_view key) const;

  // In the order of the directory.
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* find_tensor(std::string_view name) const;
  // A tensor's bytes; kUnsupported naming file, tensor and type where alambic cannot size it.
  std::span<const std::byte> bytes_of(const GgufTensor& tensor) const;
  // Lets go of the memory behind a tensor that has been read.
  void forget(const GgufTensor& tensor) const {
    if (map_ != nullptr) map_->forget(tensor.bytes);
  }

 private:
  GgufFile() = default;
  void load(std::span<const std::byte> file, std::string_view where);
  void place_tensors(std::span<const std::byte> data, uint64_t alignment);
  void check_overlaps() const;

  std::unique_ptr<MappedFile> map_;  // null after parse()
  std::string where_;
  uint32_t version_ = 0;
  std::map<std::string_view, GgufValue> metadata_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
};

}  // namespace alambic
