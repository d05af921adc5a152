// Quantising a model: every matrix that rows are multiplied by, in 8 or 4 bits. The embedding is
// looked up, not multiplied, and stays as it is, as do the norms; a tied head becomes a quantised
// copy of the embedding.
//
// Thread safety: uses all threads; call from one.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "alambic/models/language_model.h"
#include "alambic/tensor/quantized_matrix.h"

namespace alambic {

// By parameter name; the head is "head", tied or not.
using QuantizedWeights = std::map<std::string, QuantizedMatrix>;

struct QuantizeOptions {
  WeightFormat format = WeightFormat::kInt8;
  // Texts to calibrate with (error_compensation.h); none: plain rounding. Memory: one float per
  // pair of inputs of every matrix, about 0.8 of the model's own fp32 size at 135M parameters.
  std::vector<std::vector<TokenId>> texts;
  // Told of progress in [0, 1]; may throw to stop.
  std::function<void(double)> progress;
};

// The model must be frozen and hold floats; it is not changed. Texts that are empty or outside the
// vocabulary are the caller's fault. Throws what `progress` throws.
QuantizedWeights quantize(LanguageModel& model, const QuantizeOptions& options);

// Puts the quantised weights in the place of the model's own, whose floats (but the embedding's)
// are given back. Every matrix must be there, in its shape.
void use_quantized(LanguageModel& model, const QuantizedWeights& weights);

}  // namespace alambic
