// What a task yields without any neural network: the numbers that a student has to beat.
//
// TfIdf turns a text into a unit vector of word 1-2 grams and character 3-5 grams (sublinear
// counts, smoothed inverse document frequency). LinearClassifier puts one-against-rest
// squared-hinge separators on it, and NearestNeighbour answers with the completion of the most
// similar training prompt. Each object owns copies of what it needs and is immutable once built:
// const calls are safe from any thread. Building is deterministic. Errors: kInvalidArgument for no
// or unpaired examples; kUnsupported for more classes than a linear baseline is meant for.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace alambic {

// The most frequent string (the first in byte order among equals): majority class, or constant
// completion.
const std::string& most_frequent(std::span<const std::string> items);

struct Feature {
  uint32_t index = 0;
  float weight = 0;
};
using SparseVector = std::vector<Feature>;  // by ascending index, of Euclidean length 1 (or empty)

class TfIdf {
 public:
  // Keeps at most `max_features` n-grams, those that occur in the most texts.
  explicit TfIdf(std::span<const std::string> texts, size_t max_features = size_t{1} << 18);
  SparseVector transform(std::string_view text) const;
  size_t features() const { return idf_.size(); }

 private:
  std::unordered_map<uint64_t, uint32_t> index_;  // hash of an n-gram -> feature
  std::vector<float> idf_;
};

class LinearClassifier {
 public:
  struct Options {
    double c = 1.0;  // weight of the loss against the norm of the separator
    int max_epochs = 40;
    uint64_t seed = 1;  // order of the examples
  };
  LinearClassifier(std::span<const std::string> texts, std::span<const std::string> labels);
  LinearClassifier(std::span<const std::string> texts, std::span<const std::string> labels,
                   const Options& options);

  const std::string& predict(std::string_view text) const;
  const std::vector<std::string>& classes() const { return classes_; }

 private:
  TfIdf tfidf_;
  std::vector<std::string> classes_;  // sorted
  size_t stride_ = 0;                 // classes rounded up, so that rows fill whole vectors
  std::vector<float> weights_;        // [features + 1, stride]; the last row is the intercept
};

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
