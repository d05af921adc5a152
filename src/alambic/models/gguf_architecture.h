// The architectures that GGUF files name, and where each keeps a parameter: one list of tensor
// names for all of them, with queries, keys and values fused in the older ones.
//
// Names: llama.cpp's "gguf-py/gguf/constants.py". Ownership: constants. Thread safety: pure
// functions. Errors: kUnsupported naming what is supported.
#pragma once

#include <string_view>

#include "alambic/models/model_config.h"
#include "alambic/models/stored_tensor.h"

namespace alambic {

struct GgufArchitecture {
  std::string_view name;    // general.architecture
  std::string_view family;  // ModelConfig::family
  bool fused = false;       // queries, keys and values one below the other in one tensor
  // Rows of queries and keys lie so that rotated pairs are neighbours, not halves of a head.
  bool neighbours = false;
};

const GgufArchitecture& gguf_architecture(std::string_view name, std::string_view where);
// The one that computes what this model computes.
const GgufArchitecture& gguf_architecture_for(const ModelConfig& config, std::string_view where);

StoredTensor stored_in_gguf(const GgufArchitecture& architecture, std::string_view parameter);

// Queries and keys of the whole matrix or bias, head by head: from pairs of neighbours to halves,
// or back.
enum class RotaryRows { kHalves, kNeighbours };
void reorder_rotary_rows(Tensor& rows, int head_dim, RotaryRows to);
// Whether this parameter lies in GGUF order.
bool has_rotary_rows(const GgufArchitecture& architecture, std::string_view parameter);

}  // namespace alambic
