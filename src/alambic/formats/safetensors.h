// Safetensors files: an 8-byte little-endian header length, a JSON header, then the tensors' bytes.
//
// Ownership: a SafetensorsFile owns the memory map that its entries' `bytes` point into; entries
// die with it. The bytes of an entry may lie at any address: read them with memcpy or to_floats,
// never through a typed pointer.
// Thread safety: a loaded file is immutable and may be read from many threads.
// Errors: the file is hostile. Everything is checked before the constructor returns (lengths, JSON,
// duplicate names, shapes against sizes with overflow, gaps, overlaps, truncation): kCorruptData
// naming the file and the tensor; kUnsupported for an element type that alambic does not have;
// kNotFound and kIo from the system.
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
#include "alambic/tensor/dtype.h"

namespace alambic {

struct TensorEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;  // row-major, little-endian, not owned
};

// Elements of `shape`; kInvalidArgument if a dimension is negative or the product does not fit an
// int64_t.
int64_t element_count(std::span<const int64_t> shape);

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);
  // The same checks on bytes in memory, which must outlive the result; `where` opens the error
  // lines.
  static SafetensorsFile parse(std::span<const std::byte> file, std::string_view where);

  // In the order of their bytes in the file.
  const std::vector<TensorEntry>& entries() const { return entries_; }
  // Null if there is no such tensor.
  const TensorEntry* find(std::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Lets go of the memory behind a tensor that has been read.
  void forget(const TensorEntry& entry) const {
    if (map_ != nullptr) map_->forget(entry.bytes);
  }

 private:
  SafetensorsFile() = default;
  void load(std::span<const std::byte> file, std::string_view where);

  std::unique_ptr<MappedFile> map_;  // null after parse()
  std::vector<TensorEntry> entries_;
  std::map<std::string, size_t, std::less<>> index_;
  std::map<std::string, std::string> metadata_;
};

// Writes the tensors in the order given, atomically and without a second copy of them in memory.
// The header is padded so that the first tensor starts on a boundary of `alignment` bytes. Throws
// kInvalidArgument where a name is empty, reserved or used twice, or where bytes do not match shape
// and type; kIo if the disk refuses, leaving any old file as it was.
void write_safetensors(const std::string& path, std::span<const TensorEntry> tensors,
                       const std::map<std::string, std::string>& metadata = {{"format", "pt"}},
                       size_t alignment = 8);

// Widens an F32, F16 or BF16 tensor; `out` must have exactly its element count.
void to_floats(const TensorEntry& tensor, std::span<float> out);
// The bytes of `values` as F32, F16 or BF16 (round to nearest even), ready for a TensorEntry.
std::vector<std::byte> pack_floats(std::span<const float> values, DType dtype);

}  // namespace alambic
