// A GGUF file's metadata as a ModelConfig, and back.
//
// Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, and what llama.cpp's converter
// writes. A file says less than a config.json: the rest follows from which tensors there are.
// Ownership: plain values. Thread safety: pure functions.
// Errors: the file is hostile; kCorruptData names the file and the key, kUnsupported what alambic
// does not compute.
#pragma once

#include <string_view>
#include <vector>

#include "alambic/formats/gguf.h"
#include "alambic/formats/gguf_writer.h"
#include "alambic/models/gguf_architecture.h"
#include "alambic/models/model_card.h"

namespace alambic {

inline constexpr const char* kRopeFactors = "rope_freqs.weight";

ModelConfig read_gguf_config(const GgufFile& file, std::string_view where,
                             ModelCard* card = nullptr);
// kUnsupported where no key says what the model does.
void write_gguf_config(const GgufArchitecture& architecture, const ModelConfig& config,
                       const ModelCard& card, std::string_view where, GgufMetadata& metadata);

// LLaMA 3.1's three bands exist in GGUF files only as a number for each rotated pair that divides
// its frequency. From those to settings that give the same numbers, and back.
RopeScaling scaling_from_factors(const ModelConfig& config, const std::vector<float>& factors,
                                 std::string_view where);
std::vector<float> factors_of_scaling(const ModelConfig& config);

}  // namespace alambic
