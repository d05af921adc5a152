// Small models for this room's tests. Tests only.
#pragma once

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "alambic/base/rng.h"
#include "alambic/models/transformer.h"

namespace alambic {

inline ModelConfig tiny_config() {
  ModelConfig config;
  config.vocab_size = 61;
  config.dim = 24;
  config.layers = 2;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 10;
  config.ffn = 40;
  config.max_positions = 256;
  config.tied_head = false;
  config.bos = 1;
  config.eos = {2};
  return config;
}

// Every weight random: initialise() zeroes the output projections, which would hide attention from
// the tests.
inline void randomise(Transformer& model, uint64_t seed) {
  uint64_t stream = 0;
  model.visit([&](Parameter& p) {
    Rng rng(seed, ++stream);
    const bool vector = p.value.shape().size() == 1;
    for (float& w : p.value.values()) {
      const double draw = rng.normal();
      w = static_cast<float>(vector ? 1 + 0.1 * draw
                                    : draw / std::sqrt(static_cast<double>(p.value.cols())));
    }
  });
}

inline std::vector<TokenId> random_tokens(int count, int vocab, uint64_t seed) {
  Rng rng(seed);
  std::vector<TokenId> tokens;
  for (int i = 0; i < count; ++i)
    tokens.push_back(static_cast<TokenId>(rng.below(static_cast<uint64_t>(vocab))));
  return tokens;
}

inline std::string shared_data(const std::string& name) {
  const char* root = std::getenv("ALAMBIC_DATA");
  return (root != nullptr ? std::string(root) : std::string(ALAMBIC_SOURCE_DIR "/../shared/data")) +
         "/" + name;
}

}  // namespace alambic
