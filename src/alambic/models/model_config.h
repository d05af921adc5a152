// The shape of a model and the ids it gives meaning to: what a family file fills in from a Hugging
// Face config.json.
#pragma once

#include <cstdint>
#include <string>

#include "alambic/base/json.h"
#include "alambic/base/token.h"

namespace alambic {

struct ModelConfig {
  std::string family = "llama";
  int vocab_size = 0;
  int dim = 0;
  int layers = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int ffn = 0;
  int max_positions = 2048;
  double rope_theta = 10000;
  float norm_eps = 1e-5F;
  bool tied_head = true;
  TokenId bos = -1, eos = -1, mask = -1;  // -1: none

  int64_t parameters() const;
};

// Throws kInvalidArgument (or `code`) naming `where` if the sizes cannot make a model or are beyond
// any sane bound.
void validate(const ModelConfig& config, std::string_view where,
              ErrorCode code = ErrorCode::kInvalidArgument);

}  // namespace alambic
