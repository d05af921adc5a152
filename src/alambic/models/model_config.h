// The shape of a model and the ids it gives meaning to: what a family file fills in from a Hugging
// Face config.json. Architectures are data: every choice that families make differently stands
// here, and the one Transformer reads it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/base/token.h"
#include "alambic/kernels/table.h"
#include "alambic/models/rope_scaling.h"

namespace alambic {

using kernels::Activation;

enum class PositionKind { kRotary, kLearned, kAlibi };

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

  PositionKind positions = PositionKind::kRotary;
  double rope_theta = 10000;
  int rotated = 0;                // numbers of a head that are rotated; 0: all
  bool rope_interleaved = false;  // pairs of neighbours, not of halves
  RopeScaling rope_scaling;
  int window = 0;       // keys farther back are out of sight; 0: none are
  int window_from = 0;  // the first layer with the window
  bool causal = true;   // false: a masked diffusion model, every row sees every row
  // Of a masked diffusion model: row i speaks of token i + 1, and row 0 of the first token as well
  bool shifted_rows = false;
  float norm_eps = 1e-5F;
  bool layer_norm = false;      // else RMS norm
  bool embedding_norm = false;  // right behind the embedding
  bool head_norms = false;      // queries and keys are normed head by head
  bool parallel = false;        // attention and MLP read the same rows, and both are added
  bool one_norm = false;        // with `parallel`: they share their norm
  bool gated_mlp = true;        // SwiGLU; else up, activation, down
  Activation activation = Activation::kGelu;
  bool qkv_bias = false, output_bias = false, mlp_bias = false, head_bias = false;
  bool tied_head = true;
  TokenId bos = -1, mask = -1;  // -1: none
  std::vector<TokenId> eos;     // each ends a text; the usual one first

  int64_t parameters() const;
  int rotary_dims() const { return rotated > 0 ? rotated : head_dim; }
  // In words, what a reader of LLaMA would not expect.
  std::vector<std::string> peculiarities() const;
};

// Throws kInvalidArgument (or `code`) naming `where` if the sizes cannot make a model or are beyond
// any sane bound.
void validate(const ModelConfig& config, std::string_view where,
              ErrorCode code = ErrorCode::kInvalidArgument);

}  // namespace alambic
