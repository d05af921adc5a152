// How rotary positions reach beyond the length a model was trained at first: the frequencies of
// linear interpolation (Chen et al. 2023), LLaMA 3.1's three bands, and YaRN (Peng et al. 2023), as
// Hugging Face config.json names their settings ("rope_scaling", or "rope_parameters").
#pragma once

#include <string_view>
#include <vector>

#include "alambic/base/json.h"

namespace alambic {

struct ModelConfig;

struct RopeScaling {
  enum class Kind { kNone, kLinear, kLlama3, kYarn };
  Kind kind = Kind::kNone;
  double factor = 1;
  int original_positions = 0;                    // of the first training
  double low_frequency = 1, high_frequency = 4;  // LLaMA 3: turns over the original length
  double beta_fast = 32, beta_slow = 1;          // YaRN: the same
  double amplitude = 1;                          // of cosine and sine
  bool whole_dimensions = true;                  // YaRN: band edges are rounded
};

// One per rotated pair.
std::vector<double> rope_frequencies(const ModelConfig& config);

// Fills in config's rope_theta, rotated and rope_scaling from any spelling that config.json uses;
// kUnsupported names other methods, kinds of layers that differ, and keys that are not known.
void read_rope(const Json& json, std::string_view where, ModelConfig& config);
// Null where nothing is scaled.
Json rope_scaling_json(const ModelConfig& config);

}  // namespace alambic
