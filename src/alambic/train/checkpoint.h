// A checkpoint is one safetensors file: weights, both Adam moments, and in its metadata where the
// run stood. Written atomically; training resumed from it goes on to the same bits as training that
// was never stopped.
#pragma once

#include <string>

#include "alambic/train/optimizer.h"

namespace alambic {

struct TrainPosition {
  int64_t step = 0;     // steps done
  int64_t tokens = 0;   // tokens read
  int64_t learned = 0;  // of them, those that the loss was taken on
  int64_t epoch = 0, document = 0;
  double seconds = 0;       // spent so far
  std::string fingerprint;  // of the options and data that produced it: fingerprint.h
  int64_t best_step = 0;    // whose weights best.safetensors holds; 0: none
  double best_score = 0;    // what they scored
};

void save_checkpoint(const std::string& path, AdamWOptimizer& optimizer,
                     const TrainPosition& position);
// Fills the model's weights and the moments. kCorruptData if the file is damaged or of another
// model, kInvalidArgument, naming the setting, if its fingerprint is not `fingerprint`.
TrainPosition load_checkpoint(const std::string& path, AdamWOptimizer& optimizer,
                              const std::string& fingerprint);
// The weights alone, as they validated best.
void save_weights(const std::string& path, AdamWOptimizer& optimizer);
// kCorruptData as load_checkpoint().
void load_weights(const std::string& path, AdamWOptimizer& optimizer);
// The check of load_checkpoint() alone, without a model.
void check_checkpoint(const std::string& path, const std::string& fingerprint);

}  // namespace alambic
