// A model on disk: a Hugging Face directory (config.json, model.safetensors, and beside them
// tokenizer.json, README.md). alambic's own settings live under the key "alambic" of config.json,
// which Python's transformers keeps and ignores. Where a directory is read, the path of a GGUF file
// will do as well (gguf_model.h).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "alambic/models/model_card.h"
#include "alambic/models/quantize.h"
#include "alambic/models/weight_reader.h"
#include "alambic/tensor/dtype.h"

namespace alambic {

// What becomes of quantised weights: floats that anything can be done with (a tied head is then the
// embedding again), or panels that stay mapped where they lie in the file, for inference alone.
enum class Quantized { kAsFloats, kMapped };

// Weights in floating point become fp32 in memory, frozen. Throws kNotFound, kCorruptData (naming
// the tensor, its shape, the shape wanted), kUnsupported, kResourceExhausted (before any weight is
// read, where they cannot fit this machine's memory).
// A directory of adapters (adapters.h) is its base with the adapters merged into the weights.
LoadedModel load_model(const std::string& directory, Quantized quantized = Quantized::kAsFloats);

// The same for inference at one precision: matrices exist in packed form alone, a tied table in the
// width it is stored in as well, and quantised ones stay mapped. Half the memory of load_model()
// and freeze_for_inference(), and neither training nor saving. Adapters stay beside their base.
LoadedModel load_for_inference(const std::string& directory, Precision precision);

// The format of quantised matrices in panels; nullopt: there are none, or a GGUF file has blocks of
// its own, which are read as floats.
std::optional<WeightFormat> stored_format(const std::string& directory);

// Reads config.json, or the metadata of a GGUF file, alone.
ModelConfig read_model_config(const std::string& directory, ModelCard* card = nullptr);

// Writes config.json, generation_config.json, README.md and model.safetensors (F32, F16 or BF16),
// each atomically, the weights last: a directory with weights is complete. The tokenizer is the
// caller's to save there first.
// kUnsupported where the model's own weights are quantised.
void save_model(LanguageModel& model, const ModelCard& card, const std::string& directory,
                DType dtype);

// Replaces the card in a directory's config.json, or in that of its adapters, atomically; nothing
// else changes.
void save_card(const ModelCard& card, const std::string& directory);

// The adapters of a model beside `base`, the directory it came from: adapters.h has the files, and
// alambic.json the card.
void save_adapter_model(Transformer& model, const ModelCard& card, const std::string& base,
                        const std::string& directory);

// The same with quantised matrices (quantized_tensors.h has the layout) and the rest in BF16.
void save_quantized_model(LanguageModel& model, const QuantizedWeights& weights, bool calibrated,
                          const ModelCard& card, const std::string& directory);

}  // namespace alambic
