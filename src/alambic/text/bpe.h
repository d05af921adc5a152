// The byte-pair-encoding model: a vocabulary, ranked merges, and the ids of one piece of text.
// Ownership: immutable after construction; owns its tables. Thread safety: usable from several
// threads, each with a WordCache of its own. Errors: kCorruptData naming the token or merge that
// contradicts the rest of the file.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "alambic/base/rng.h"
#include "alambic/base/token.h"

namespace alambic {

struct BpeSettings {
  std::optional<std::string> unk_token;
  bool fuse_unk = false;       // neighbouring unknowns become one token
  bool byte_fallback = false;  // unknown characters become <0x00> ... <0xFF>
  bool ignore_merges = false;  // a piece that is a token is that token
};

struct BpeVocabulary {
  std::vector<std::pair<std::string, TokenId>> tokens;
  std::vector<std::pair<std::string, std::string>> merges;  // best first
};

// Ids of short pieces seen lately. A slot forgets its piece when another one falls on it, so size
// is bounded.
class WordCache {
 public:
  static constexpr size_t kLongestWord = 22;
  static constexpr size_t kMostIds = 8;

  static uint64_t hash(std::string_view word);
  // The ids stored for a word of at most kLongestWord bytes; empty if there are none.
  std::span<const TokenId> find(std::string_view word, uint64_t hash) const;
  // Does nothing where the word has no or too many ids.
  void store(std::string_view word, uint64_t hash, std::span<const TokenId> ids);

 private:
  struct alignas(64) Slot {  // one cache line
    uint64_t hash = 0;
    uint8_t length = 0, count = 0;
    char word[kLongestWord] = {};
    TokenId ids[kMostIds] = {};
  };
  std::vector<Slot> slots_;
};

class Bpe {
 public:
  Bpe(BpeSettings settings, BpeVocabulary&& vocabulary, std::string_view where);
  Bpe(const Bpe&) = delete;
  Bpe& operator=(const Bpe&) = delete;

  // Appends the ids of `piece` to `out`. `byte_level`: the piece is bytes, to be read in the
  // byte-level alphabet. Work grows as n log n in the length of the piece.
  void encode(std::string_view piece, bool byte_level, WordCache& cache,
              std::vector<TokenId>& out) const;
  // The same with every merge skipped with probability `dropout` each time it comes up, uncached.
  void encode_with_dropout(std::string_view piece, bool byte_level, double dropout, Rng& rng,
                           std::vector<TokenId>& out) const;

  const BpeSettings& settings() const { return settings_; }
  // Highest id + 1; ids may have gaps.
  int size() const { return static_cast<int>(tokens_.size()); }
  int count() const { return static_cast<int>(ids_.size()); }
  bool contains(TokenId id) const;
  const std::string& token(TokenId id) const { return tokens_[static_cast<size_t>(id)]; }
  std::optional<TokenId> find(std::string_view token) const;
  // As ids, best first; a repeated merge stands once, at its last place.
  std::vector<std::pair<TokenId, TokenId>> merges() const;

 private:
  struct Merge {
    uint64_t pair = kNoPair;
    uint32_t rank = 0;
    TokenId result = 0;
  };
  struct Symbol {
    TokenId id;
    int32_t previous, next;  // -1 at the ends; a swallowed symbol has id -1
  };
  struct Candidate {
    uint32_t rank;
    int32_t at;
    TokenId result;
  };
  static constexpr uint64_t kNoPair = ~uint64_t{0};
  static uint64_t pair_key(TokenId left, TokenId right) {
    return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) |
           static_cast<uint32_t>(right);
  }
  static size_t pair_hash(uint64_t pair) {
    return static_cast<size_t>((pair * 0x9e3779b97f4a7c15ULL) >> 32);
  }

  void add_merge(uint64_t pair, uint32_t rank, TokenId result);
  const Merge* find_merge(TokenId left, TokenId right) const;
  // The symbols a piece starts from, before any merge.
  void first_symbols(std::string_view piece, bool byte_level, std::vector<TokenId>& out) const;
  void first_symbols_of_text(std::string_view text, std::vector<TokenId>& out) const;
  void merge_short(std::vector<TokenId>& symbols) const;
  void merge_long(std::vector<TokenId>& symbols, double dropout, Rng* rng) const;

  BpeSettings settings_;
  std::vector<std::string> tokens_;  // by id, empty in gaps
  std::vector<bool> present_;
  std::unordered_map<std::string_view, TokenId> ids_;  // views into tokens_
  std::vector<Merge> merges_;                          // open addressing, a power of two
  std::optional<TokenId> unk_;
  std::vector<TokenId>
      byte_symbols_;  // 256 ids in the byte-level alphabet, or empty if not all exist
  std::vector<TokenId> fallback_bytes_;  // 256 ids of <0x..>, -1 where there is none
};

}  // namespace alambic
