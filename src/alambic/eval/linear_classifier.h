// TF-IDF with a linear model: the simple classifier that a student has to beat, and that is kept
// and used where it is not beaten.
//
// One-against-rest separators by squared hinge on TfIdf vectors (tf_idf.h), stored in 8 bits from
// the start, so that what was saved answers as what was trained. Probabilities are the softmax of
// the margins at a temperature chosen on rows that were held out from a first training.
//
// On disk it is a directory that holds linear.safetensors, which any reader of that format opens:
//   words, characters  U8 [bytes]                  terms in UTF-8, each ended by a newline
//   idf                F32 [terms]                 inverse document frequency, words first
//   weights            I8 [terms + 1, labels]      the last row is the intercept
//   scales             F32 [terms + 1]             of each row of weights
//   metadata           format "alambic-linear", version "1", labels (a JSON list), temperature,
//                      rows (learned from), learned_from (in words)
//
// Ownership: owns copies of what it needs and is immutable. Thread safety: const calls are safe
// from any thread; training uses the thread pool, with the same result on any number of threads.
// Errors: kInvalidArgument for no or unpaired rows; kUnsupported for more classes than it is meant
// for, and for a file of a later version; a file is hostile, and kCorruptData says what is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/eval/tf_idf.h"

namespace alambic {

class LinearClassifier {
 public:
  static constexpr size_t kMaxClasses = 2000;

  struct Options {
    double c = 1.0;  // weight of the loss against the norm of the separator
    int max_epochs = 40;
    uint64_t seed = 1;         // order of the examples
    std::string learned_from;  // whose labels, for people
  };
  LinearClassifier(std::span<const std::string> texts, std::span<const std::string> labels);
  LinearClassifier(std::span<const std::string> texts, std::span<const std::string> labels,
                   const Options& options);

  // `directory` holds linear.safetensors.
  static LinearClassifier load(const std::string& directory);
  // The bytes of that file.
  static LinearClassifier parse(std::span<const std::byte> file, std::string_view where);
  // Makes the directory where there is none; the file is written atomically.
  void save(const std::string& directory) const;

  const std::string& predict(std::string_view text) const;
  // In the order of classes().
  std::vector<double> log_probabilities(std::string_view text) const;

  const std::vector<std::string>& classes() const { return classes_; }
  const TfIdf& terms() const { return tfidf_; }
  double temperature() const { return temperature_; }
  int64_t rows() const { return rows_; }
  const std::string& learned_from() const { return learned_from_; }

 private:
  LinearClassifier(TfIdf tfidf, std::vector<std::string> classes)
      : tfidf_(std::move(tfidf)), classes_(std::move(classes)) {}
  std::vector<float> margins(const SparseVector& row) const;

  TfIdf tfidf_;
  std::vector<std::string> classes_;  // sorted where it was trained
  std::vector<int8_t> weights_;       // [features + 1, classes]; the last row is the intercept
  std::vector<float> scales_;         // [features + 1]
  double temperature_ = 0.25;
  int64_t rows_ = 0;
  std::string learned_from_;
};

}  // namespace alambic
