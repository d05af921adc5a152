// What a model was trained on, beside the model: `trained_on.json` in its directory. It names the
// files and knows each prompt again by a hash of its words (contamination.h), so that a later
// evaluation on the same rows can say so.
//
// Thread safety: plain functions. Errors: kIo; kCorruptData for a record that is damaged.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "alambic/data/example.h"

namespace alambic {

inline constexpr const char* kTrainedOnFile = "trained_on.json";

// Writes the record for a model that has learned from `examples`, read from `files`.
void save_trained_on(const std::string& directory, std::span<const std::string> files,
                     std::span<const Example> examples);

// Copies the record of the model in `from`, if it has one, beside its copy in `to`.
void carry_trained_on(const std::string& from, const std::string& to);

struct SeenInTraining {
  bool same_file = false;  // byte for byte a training file
  int64_t rows = 0;        // of the examples; at least so many where training had over a million
};
// What of `examples`, read from `file`, the model in `directory` was trained on; nothing where the
// directory has no record.
std::optional<SeenInTraining> seen_in_training(const std::string& directory,
                                               const std::string& file,
                                               std::span<const Example> examples);

}  // namespace alambic
