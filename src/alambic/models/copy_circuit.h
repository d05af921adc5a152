// Two attention layers that copy, before any training: the induction circuit (Elhage et al. 2021;
// Olsson et al. 2022, arXiv 2209.11895). A head of the first layer looks one token back and notes
// what it saw; a head of the second looks for a place whose note equals the present token, and
// repeats what stands there. Models that start from noise find it too, after about a million tokens
// without visible progress; set at the start, training begins behind that plateau
// (docs/adr/0007-initial-weights.md). Only initial weights change, not the model.
#pragma once

#include "alambic/base/rng.h"
#include "alambic/models/model_config.h"
#include "alambic/nn/self_attention.h"

namespace alambic {

// How many key/value heads of each layer a model of this shape has room for: 0 to 2.
int copy_heads(const ModelConfig& config);

// Writes the circuit into the first copy_heads() heads of two layers whose other weights are
// initialised. Adds one common direction to every row of the embedding, of the norm that a row of
// independent Gaussians of standard deviation `embedding_std` has: what a head needs to attend by
// distance alone. With a tied head it moves all logits by the same amount, hence no probability.
void wire_copy_circuit(const ModelConfig& config, double embedding_std, Rng& rng, Tensor& embedding,
                       SelfAttention& first, SelfAttention& second);

}  // namespace alambic
