// How much memory a run will need, before it starts: resident bytes at the highest point, by cause.
//
// The figures follow what loading, decoding and training allocate, the caches of freed blocks
// included; measured runs lie within a tenth of them (memory_needs_test.cc holds some). Thread
// safety: pure functions. Errors: none.
#pragma once

#include <cstdint>
#include <optional>

#include "alambic/models/model_config.h"
#include "alambic/nn/forward.h"
#include "alambic/tensor/quantized_matrix.h"

namespace alambic {

struct MemoryNeeds {
  int64_t process = 0;  // the program itself
  int64_t weights = 0;
  int64_t kv_cache = 0;
  int64_t activations = 0;
  int64_t gradients = 0;
  int64_t optimizer = 0;
  int64_t total() const {
    return process + weights + kv_cache + activations + gradients + optimizer;
  }
};

// Texts of `prompt` tokens each, continued by `generated`, `streams` at once.
struct DecodingLoad {
  int prompt = 512, generated = 128, streams = 1;
  int rows_at_once = 1024;  // of one forward while prompts are read
};
// Weights as files keep them: in 2 or 4 bytes, or quantised.
struct StoredWeights {
  int bytes = 2;
  std::optional<WeightFormat> format;
};
MemoryNeeds decoding_needs(const ModelConfig& config, const StoredWeights& stored,
                           Precision precision, const DecodingLoad& load);

// Steps of AdamW over `rows` tokens that go through the model together.
MemoryNeeds training_needs(const ModelConfig& config, Precision precision, int64_t rows);

}  // namespace alambic
