// The precompiled character map of SentencePiece: which stretches of text become which others,
// found through a double-array trie (Yata's darts-clone layout) that comes in one blob.
// Ownership: an immutable value that owns a copy of the blob. Thread safety: usable from several
// threads at once. Errors: kCorruptData for a blob whose parts do not fit; links inside the trie
// that lead out of it match nothing.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace alambic {

class Charsmap {
 public:
  // An empty blob maps nothing.
  Charsmap(std::string_view blob, std::string_view where);

  // SentencePiece's own way: the longest match at every place.
  std::string map_longest(std::string_view text) const;
  // The way of Python's `tokenizers`: the shortest match at the start of a short grapheme cluster,
  // else at each of its characters.
  std::string map_graphemes(std::string_view text) const;

 private:
  // What a match turns into, and the length of what it covers.
  struct Match {
    size_t length;
    std::string_view replacement;
  };
  std::optional<Match> find(std::string_view text, bool longest) const;
  std::string_view replacement_at(uint32_t offset) const;
  void map_characters(std::string_view text, std::string& out) const;

  bool leads_on(uint32_t node, uint32_t byte) const;
  // Whether the character at `at` is of ASCII and stays as it is, with another or nothing behind.
  bool stays(std::string_view text, size_t at) const {
    const auto byte = static_cast<uint8_t>(text[at]);
    return byte < 0x80 && quiet_[byte] &&
           (at + 1 == text.size() || static_cast<uint8_t>(text[at + 1]) < 0x80);
  }

  std::vector<uint32_t> units_;
  std::string replacements_;  // each ends with a zero
  // For every byte: the stretches that begin with it stay as they are, whatever follows.
  std::array<bool, 256> inert_{};
  // For every byte of ASCII: those where another one or nothing follows do.
  std::array<bool, 128> quiet_{};
};

}  // namespace alambic
