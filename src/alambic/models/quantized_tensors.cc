#include "alambic/models/quantized_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>

namespace alambic {
namespace {

constexpr const char* kMethod = "alambic";

// "model.layers.0.mlp.up_proj.weight" -> "model.layers.0.mlp.up_proj.qweight"
std::string renamed(const std::string& tensor, const char* part) {
  return tensor.substr(0, tensor.rfind('.') + 1) + part;
}

TensorEntry entry_of(const std::string& name, const Tensor& t) {
  return {name,
          t.dtype(),
          t.shape().vector(),
          {t.raw(), static_cast<size_t>(t.size()) * dtype_size(t.dtype())}};
}

Tensor part_of(const std::shared_ptr<const SafetensorsFile>& file, const std::string& name,
               DType dtype, const Shape& shape, std::string_view path) {
  const TensorEntry* entry = file->find(name);
  if (entry == nullptr) fail(ErrorCode::kCorruptData, "[{}] tensor {} is missing", path, name);
  if (entry->dtype != dtype || shape != entry->shape) {
    fail(ErrorCode::kCorruptData, "[{}] tensor {}: got {} [{}], want {} [{}]", path, name,
         dtype_name(entry->dtype), fmt::join(entry->shape, ", "), dtype_name(dtype),
         fmt::join(shape, ", "));
  }
  return lent_or_copied(file, *entry);
}

}  // namespace

Tensor lent_or_copied(const std::shared_ptr<const SafetensorsFile>& file,
                      const TensorEntry& entry) {
  const bool aligned =
      reinterpret_cast<uintptr_t>(entry.bytes.data()) % dtype_size(entry.dtype) == 0;
  if (aligned) return Tensor::lent(Shape(entry.shape), entry.dtype, entry.bytes.data(), file);
  Tensor copy = Tensor::empty(Shape(entry.shape), entry.dtype);
  std::memcpy(copy.raw(), entry.bytes.data(), entry.bytes.size());
  return copy;
}

std::vector<TensorEntry> quantized_entries(const std::string& tensor,
                                           const QuantizedMatrix& matrix) {
  std::vector<TensorEntry> entries = {entry_of(renamed(tensor, "qweight"), matrix.values()),
                                      entry_of(renamed(tensor, "scales"), matrix.scales())};
  if (matrix.zeros().defined())
    entries.push_back(entry_of(renamed(tensor, "zeros"), matrix.zeros()));
  return entries;
}

std::vector<std::string> quantized_names(const std::string& tensor) {
  return {renamed(tensor, "qweight"), renamed(tensor, "scales"), renamed(tensor, "zeros")};
}

QuantizedMatrix read_quantized(const std::shared_ptr<const SafetensorsFile>& file,
                               const std::string& tensor, WeightFormat format, int64_t out,
                               int64_t in, std::string_view path) {
  const Shape groups = QuantizedMatrix::group_shape(format, out, in);
  const Tensor values = part_of(file, renamed(tensor, "qweight"), DType::kU8,
                                QuantizedMatrix::values_shape(format, out, in), path);
  const Tensor scales = part_of(file, renamed(tensor, "scales"), DType::kBf16, groups, path);
  const Tensor zeros = format == WeightFormat::kInt4
                           ? part_of(file, renamed(tensor, "zeros"), DType::kU8, groups, path)
                           : Tensor();
  return {format, out, in, values, scales, zeros};
}

Json quantization_json(WeightFormat format, bool calibrated) {
  return {{"quant_method", kMethod},
          {"weights", format_name(format)},
          {"group_size", kernels::group_size(format)},
          {"panel_columns", kernels::kPanelColumns},
          {"calibrated", calibrated}};
}

std::optional<WeightFormat> read_quantization(const Json& config, std::string_view where) {
  const auto it = config.find("quantization_config");
  if (it == config.end() || it->is_null()) return std::nullopt;
  const auto method = require<std::string>(*it, "quant_method", where);
  if (method != kMethod) {
    fail(ErrorCode::kUnsupported,
         "[{}] quant_method \"{}\"; this version reads \"{}\": start from the model in floating "
         "point",
         where, method, kMethod);
  }
  const auto name = require<std::string>(*it, "weights", where);
  const auto format = format_from_name(name);
  if (!format) {
    fail(ErrorCode::kUnsupported, "[{}] weights \"{}\"; want int8 or int4", where, name);
  }
  const auto fixed = [&](const char* key, int want) {
    const int got = require<int>(*it, key, where);
    if (got != want) fail(ErrorCode::kUnsupported, "[{}] {} = {}; want {}", where, key, got, want);
  };
  fixed("group_size", kernels::group_size(*format));
  fixed("panel_columns", kernels::kPanelColumns);
  return format;
}

}  // namespace alambic
