#include "alambic/formats/gguf_writer.h"

#include "alambic/base/error.h"

namespace alambic {
namespace {

constexpr uint64_t kAlignment = 32;  // the format's default
constexpr uint32_t kVersion = 3;

template <class T>
void add(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void add_text(std::string& out, std::string_view text) {
  add<uint64_t>(out, text.size());
  out += text;
}

uint64_t padded(uint64_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

size_t bytes_of_plan(const GgufTensorPlan& tensor) {
  const GgmlBlock block = ggml_block(tensor.type);
  ALAMBIC_CHECK(block.elements > 0 && tensor.dims.at(0) % block.elements == 0);
  int64_t bytes = tensor.dims[0] / block.elements * block.bytes;
  for (size_t i = 1; i < tensor.dims.size(); ++i) bytes *= tensor.dims[i];
  return static_cast<size_t>(bytes);
}

}  // namespace

void GgufMetadata::open(std::string_view key, GgufType type) {
  add_text(bytes_, key);
  add(bytes_, static_cast<uint32_t>(type));
  ++count_;
}

void GgufMetadata::open_array(std::string_view key, GgufType element, size_t count) {
  open(key, GgufType::kArray);
  add(bytes_, static_cast<uint32_t>(element));
  add<uint64_t>(bytes_, count);
}

void GgufMetadata::put(std::string_view key, uint32_t value) {
  open(key, GgufType::kUint32);
  add(bytes_, value);
}

void GgufMetadata::put(std::string_view key, int32_t value) {
  open(key, GgufType::kInt32);
  add(bytes_, value);
}

void GgufMetadata::put(std::string_view key, float value) {
  open(key, GgufType::kFloat32);
  add(bytes_, value);
}

void GgufMetadata::put(std::string_view key, bool value) {
  open(key, GgufType::kBool);
  bytes_ += value ? '\1' : '\0';
}

void GgufMetadata::put(std::string_view key, std::string_view value) {
  open(key, GgufType::kString);
  add_text(bytes_, value);
}

void GgufMetadata::put(std::string_view key, const std::vector<bool>& values) {
  open_array(key, GgufType::kBool, values.size());
  for (const bool value : values) bytes_ += value ? '\1' : '\0';
}

void GgufMetadata::put(std::string_view key, std::span<const int8_t> values) {
  open_array(key, GgufType::kInt8, values.size());
  for (const int8_t value : values) add(bytes_, value);
}

void GgufMetadata::put(std::string_view key, std::span<const int32_t> values) {
  open_array(key, GgufType::kInt32, values.size());
  for (const int32_t value : values) add(bytes_, value);
}

void GgufMetadata::put(std::string_view key, std::span<const float> values) {
  open_array(key, GgufType::kFloat32, values.size());
  for (const float value : values) add(bytes_, value);
}

void GgufMetadata::put(std::string_view key, std::span<const std::string> values) {
  open_array(key, GgufType::kString, values.size());
  for (const std::string& value : values) add_text(bytes_, value);
}

GgufWriter::GgufWriter(const std::string& path, const GgufMetadata& metadata,
                       std::span<const GgufTensorPlan> tensors)
    : file_(path) {
  std::string head = "GGUF";
  add(head, kVersion);
  add<uint64_t>(head, tensors.size());
  add(head, metadata.count());
  head += metadata.bytes();
  uint64_t offset = 0;
  sizes_.reserve(tensors.size());
  for (const GgufTensorPlan& tensor : tensors) {
    add_text(head, tensor.name);
    add(head, static_cast<uint32_t>(tensor.dims.size()));
    for (const int64_t dim : tensor.dims) add(head, static_cast<uint64_t>(dim));
    add(head, static_cast<uint32_t>(tensor.type));
    add(head, offset);
    sizes_.push_back(bytes_of_plan(tensor));
    offset += padded(sizes_.back());
  }
  file_.write(head.data(), head.size());
  written_ = head.size();
  pad();
}

void GgufWriter::pad() {
  constexpr char kZeros[kAlignment] = {};
  const uint64_t rest = padded(written_) - written_;
  file_.write(kZeros, rest);
  written_ += rest;
}

void GgufWriter::append(std::span<const std::byte> bytes) {
  ALAMBIC_CHECK(next_ < sizes_.size() && bytes.size() == sizes_[next_]);
  ++next_;
  file_.write(bytes.data(), bytes.size());
  written_ += bytes.size();
  pad();
}

void GgufWriter::commit() {
  ALAMBIC_CHECK(next_ == sizes_.size());
  file_.commit();
}

}  // namespace alambic
