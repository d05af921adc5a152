// Texts as sparse vectors: word 1-2 grams and character 3-5 grams, sublinear counts, smoothed
// inverse document frequency.
//
// Text is lower-cased; a word is a run of letters, digits and marks of any script, or a single
// character of Chinese or Japanese, which put no spaces between words. Characters are those of
// single words, with a space at both ends. Of a text, the first kMaxBytes count. Ownership: a TfIdf
// owns its terms and is immutable. Thread safety: const calls are safe from any thread. Building is
// deterministic. Errors: kInvalidArgument for no texts; kCorruptData, opening with `where`, for
// terms that are not distinct or frequencies that make no sense.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace alambic {

struct Feature {
  uint32_t index = 0;
  float weight = 0;
};
using SparseVector = std::vector<Feature>;  // by ascending index

class TfIdf {
 public:
  static constexpr size_t kMaxBytes = size_t{1} << 16;
  static constexpr size_t kMaxFeatures = size_t{1} << 18;

  // Keeps at most `max_features` n-grams, those that occur in the most texts.
  explicit TfIdf(std::span<const std::string> texts, size_t max_features = kMaxFeatures);
  // As it was saved: a frequency for each of the words, then for each of the characters.
  TfIdf(std::vector<std::string> words, std::vector<std::string> characters,
        std::vector<float> inverse_frequencies, std::string_view where);

  // The part of the words has the Euclidean length 1, and so has that of the characters, which are
  // many more and would drown them; a part without a known n-gram is empty.
  SparseVector transform(std::string_view text) const;
  size_t features() const { return idf_.size(); }
  // Features are numbered in this order: words, then characters, each in byte order where it was
  // built from texts.
  const std::vector<std::string>& words() const { return words_; }
  const std::vector<std::string>& characters() const { return characters_; }
  const std::vector<float>& inverse_frequencies() const { return idf_; }

 private:
  bool is_word_feature(uint32_t index) const { return index < words_.size(); }

  std::vector<std::string> words_, characters_;
  std::unordered_map<uint64_t, uint32_t> index_;  // hash of an n-gram -> feature
  std::vector<float> idf_;
};

}  // namespace alambic
