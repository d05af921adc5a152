// Low-rank adapters (LoRA, arXiv 2106.09685; over a quantised base QLoRA, arXiv 2305.14314): small
// trainable additions beside frozen matrices, and their files, which are PEFT's
// (adapter_config.json, adapter_model.safetensors).
//
// A family that fuses queries, keys and values has one adapter for the three in its file. What was
// trained apart is written as one of the sum of their ranks: the same function, exactly.
//
// Thread safety: plain functions on one model. Errors: files are hostile; kCorruptData and
// kUnsupported name the file and the tensor or key.
#pragma once

#include <string>
#include <vector>

#include "alambic/models/transformer.h"

namespace alambic {

struct AdapterOptions {
  int rank = 16;
  double alpha = 32;  // what is added is scaled by alpha / rank
  // Of every layer, where it has them.
  std::vector<std::string> parts = {"query", "key", "value", "output", "gate", "up", "down"};
  uint64_t seed = 1;
};

// Adds nothing yet: one factor is random, the other zero. kInvalidArgument for an unknown part or a
// rank beyond the model's width.
void add_adapters(Transformer& model, const AdapterOptions& options);
bool has_adapters(Transformer& model);
// Adds them to the weights, which must be floats, and takes them away.
void merge_adapters(Transformer& model);

// `base` is the directory of the model they belong to. Both files atomically, the weights last.
void save_adapters(Transformer& model, const std::string& base, const std::string& directory);
void load_adapters(Transformer& model, const std::string& directory);
// A directory with an adapter_config.json and no model of its own.
bool is_adapter_directory(const std::string& directory);
// The model that a directory of adapters belongs to.
std::string adapter_base(const std::string& directory);

}  // namespace alambic
