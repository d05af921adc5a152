// What a task yields without any neural network: the numbers that a student has to beat.
//
// most_frequent() is the constant answer, and NearestNeighbour answers with the completion of the
// most similar training prompt; for labels see linear_classifier.h. Each object owns copies of what
// it needs and is immutable once built: const calls are safe from any thread. Building is
// deterministic. Errors: kInvalidArgument for no or unpaired examples.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/eval/tf_idf.h"

namespace alambic {

// The most frequent string (the first in byte order among equals): majority class, or constant
// completion.
const std::string& most_frequent(std::span<const std::string> items);

class NearestNeighbour {
 public:
  NearestNeighbour(std::span<const std::string> prompts, std::span<const std::string> completions);
  // The completion of the training prompt with the greatest cosine (the first among equals).
  const std::string& complete(std::string_view prompt) const;

 private:
  TfIdf tfidf_;
  std::vector<std::string> completions_;
  std::vector<std::vector<Feature>> postings_;  // feature -> (training prompt, weight)
};

}  // namespace alambic
