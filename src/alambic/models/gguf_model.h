// Models in GGUF files: any of the tensor types of formats/gguf_blocks.h into a model in floating
// point, and a model into F32, F16, BF16, Q8_0 or Q4_0.
//
// Quantised blocks become floats: what such a file computes is what a reference implementation
// computes with the dequantised weights. Ownership, thread safety: as hf_directory.h.
// Errors: the file is hostile; kCorruptData names the file, the tensor or the key, kUnsupported
// what alambic cannot compute. A tensor that the model has no place for is refused: without it the
// numbers would be silently wrong.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "alambic/formats/gguf_writer.h"
#include "alambic/models/weight_reader.h"

namespace alambic {

// A file that begins as GGUF files do.
bool is_gguf(const std::string& path);

// As fp32, or packed for inference at one precision.
LoadedModel load_gguf(const std::string& path, std::optional<Precision> packed);
// The same from an open file; `path` opens the error lines.
LoadedModel load_gguf(const GgufFile& file, const std::string& path,
                      std::optional<Precision> packed);

// The type that a tensor of these dimensions gets in a file of the type `wanted`: vectors and
// positions stay F32, and so do rows that are no whole blocks (as F16). Tables of a Q4_0 file are
// Q8_0: they are looked up or decide between tokens.
GgmlType stored_type(GgmlType wanted, std::string_view tensor, const Shape& shape);

// Writes `metadata`, what the model's settings say, and the weights, atomically; `progress` is told
// the share done and may throw to stop. The model must hold floats. kUnsupported where GGUF has no
// form for the model, or a number does not fit the type.
void save_gguf(LanguageModel& model, const ModelCard& card, GgmlType type, GgufMetadata metadata,
               const std::string& path, const std::function<void(double)>& progress);

}  // namespace alambic
