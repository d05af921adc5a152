// How a quantised weight lies in a safetensors file, and how config.json says so.
//
// A matrix NAME.weight [out, in] is stored as
//   NAME.qweight  U8 [panels, bytes]           panels of 16 outputs, as kernels/quantized.h has
//   them NAME.scales   BF16 [panels, groups, 16]    of each group of 64 (int8) or 32 (int4) inputs
//   NAME.zeros    U8 [panels, groups, 16]      int4 only
// and everything else (norms, embedding) in floating point under its usual name. config.json holds
//   "quantization_config": {"quant_method": "alambic", "weights": "int8", "group_size": 64,
//                           "panel_columns": 16, "calibrated": true}
//
// Ownership: matrices that were read hold the file they look at. Thread safety: plain functions.
// Errors: files are hostile; kCorruptData and kUnsupported name the file and the tensor or key.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/formats/safetensors.h"
#include "alambic/tensor/quantized_matrix.h"

namespace alambic {

// The entries of a matrix whose usual name is `tensor`; their bytes are the matrix's.
std::vector<TensorEntry> quantized_entries(const std::string& tensor,
                                           const QuantizedMatrix& matrix);

// The names that a quantised matrix may have tensors under.
std::vector<std::string> quantized_names(const std::string& tensor);

// The stored matrix, looked at where it lies in the file.
QuantizedMatrix read_quantized(const std::shared_ptr<const SafetensorsFile>& file,
                               const std::string& tensor, WeightFormat format, int64_t out,
                               int64_t in, std::string_view path);

Json quantization_json(WeightFormat format, bool calibrated);
// Nullopt where the weights are plain floating point.
std::optional<WeightFormat> read_quantization(const Json& config, std::string_view where);

// A stored tensor as it lies in the file, or copied where its address does not suit its elements.
Tensor lent_or_copied(const std::shared_ptr<const SafetensorsFile>& file, const TensorEntry& entry);

}  // namespace alambic
