// The byte-pair-encoding model: a vocabulary and ranked merges.
// Ownership, thread safety: as TokenModel. Errors: kCorruptData naming the token or merge that
// contradicts the rest of the file.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "alambic/text/token_model.h"

namespace alambic {

struct BpeSettings {
  std::optional<std::string> unk_token;
  bool fuse_unk = false;       // neighbouring unknowns become one token
  bool byte_fallback = false;  // unknown characters become <0x00> ... <0xFF>
  bool ignore_merges = false;  // a piece that is a token is that token
  // What tokens wear that do not begin a piece, and those that end one.
  std::string continuing_prefix, end_suffix;
};

using NamedMerge = std::pair<std::string, std::string>;

// Work grows as n log n in the length of a piece.
class Bpe : public TokenModel {
 public:
  // `merges`: best first.
  Bpe(BpeSettings settings, std::vector<NamedToken>&& tokens, std::span<const NamedMerge> merges,
      std::string_view where);

  std::optional<TokenId> unk() const override { return unk_; }
  void encode_with_dropout(std::string_view piece, bool byte_level, double dropout, Rng& rng,
                           std::vector<TokenId>& out) const override;
  std::string_view bare(TokenId id) const override;
  void write_json(std::string& out) const override;

 protected:
  void encode_afresh(std::string_view piece, bool byte_level,
                     std::vector<TokenId>& out) const override;

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

  void add_merges(std::span<const NamedMerge> merges, std::string_view where);
  void add_merge(uint64_t pair, uint32_t rank, TokenId result);
  // As ids, best first; a repeated merge stands once, at its last place.
  std::vector<std::pair<TokenId, TokenId>> merges() const;
  const Merge* find_merge(TokenId left, TokenId right) const;
  // The symbols a piece starts from, before any merge.
  void first_symbols(std::string_view piece, bool byte_level, std::vector<TokenId>& out) const;
  void first_symbols_of_text(std::string_view text, std::vector<TokenId>& out) const;
  void merge_short(std::vector<TokenId>& symbols) const;
  void merge_long(std::vector<TokenId>& symbols, double dropout, Rng* rng) const;

  // The token of the character `symbol`, dressed in affixes where the settings have some.
  std::optional<TokenId> find_symbol(std::string_view symbol, bool first, bool last) const;

  BpeSettings settings_;
  bool affixes_;
  std::vector<Merge> merges_;  // open addressing, a power of two
  std::optional<TokenId> unk_;
  std::vector<TokenId>
      byte_symbols_;  // 256 ids in the byte-level alphabet, or empty if not all exist
  std::vector<TokenId> fallback_bytes_;  // 256 ids of <0x..>, -1 where there is none
};

}  // namespace alambic
