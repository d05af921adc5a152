// Finds prompts of a test set in training data, whatever their spacing, case and punctuation.
//
// A text is compared by its words: letters and digits of any script, lowered, in NFKC. Blanks, line
// breaks, punctuation, symbols and quotation marks only part words (an apostrophe does not even
// that). In scripts that are written without blanks (Chinese, Japanese, Thai, Lao, Khmer, Burmese)
// a character is a word. A sign of arithmetic beside a digit stays, whichever dash it is written
// with: 3 + 4 is not 3 * 4.
// Thread safety: const calls at the same time. Time is linear in the texts.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "alambic/data/example.h"
#include "alambic/data/left_out.h"

namespace alambic {

// The words of a text, as hashes.
std::vector<uint64_t> word_hashes(std::string_view text);
// Equal for texts of the same words in the same order.
uint64_t words_key(std::string_view text);
// What a row is compared by: its prompt, or the text of a row that has none.
inline std::string_view compared_text(const Example& example) {
  return example.prompt.empty() ? example.completion : example.prompt;
}

// What was found of one set of held-out prompts in the training data.
struct Contamination {
  int64_t prompts = 0;           // held out, different ones
  int64_t found = 0;             // those of which anything occurs in training
  int64_t rows_overlapping = 0;  // training rows in which something of one occurs
  int64_t rows_removed = 0;      // those with at least half of one

  bool operator==(const Contamination&) const = default;
};

// Held-out prompts by their 13-word sequences; a prompt of 5 to 12 words is one sequence, a shorter
// one is compared as a whole. A sequence that at least half of the prompts (and at least four, or a
// hundred) have in common is their form and says nothing.
class HeldOutPrompts {
 public:
  explicit HeldOutPrompts(std::span<const Example> held_out);

  // Takes out of `rows` those with at least half of a held-out prompt's sequences, saying so in
  // `left_out`; adds to what was found before.
  void take_out(std::vector<Example>& rows, std::vector<LeftOut>& left_out);
  const Contamination& found() const { return found_; }

 private:
  struct Prompt {
    int64_t sequences = 0;  // that count
    bool found = false;
    std::string where;
  };
  struct Match {
    bool any = false;
    const Prompt* held = nullptr;  // of which the row has at least half
  };
  Match look(std::string_view text);

  std::vector<Prompt> prompts_;
  std::unordered_map<uint64_t, size_t> whole_;                   // by words_key
  std::unordered_map<uint64_t, std::vector<uint32_t>> holders_;  // of a sequence
  std::vector<size_t> lengths_;                                  // of sequences, in words
  std::vector<uint32_t> shared_;                                 // by prompt, of the row in hand
  Contamination found_;
};

}  // namespace alambic
