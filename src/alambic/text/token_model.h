// The "model" of a tokenizer file: a vocabulary, and how one piece of text becomes ids of it.
// Ownership: immutable after construction; owns its tables. Thread safety: usable from several
// threads, each with a WordCache of its own. Errors: kCorruptData naming the token that contradicts
// the rest of the file; kResourceExhausted for a piece beyond a gigabyte.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "alambic/base/rng.h"
#include "alambic/base/token.h"
#include "alambic/text/word_cache.h"

namespace alambic {

using NamedToken = std::pair<std::string, TokenId>;

class Vocabulary {
 public:
  // What happens to a string that is the text of two tokens.
  enum class Repeats {
    kRefused,
    kLastIsFound,  // by find(): so Python's `tokenizers` reads lists of pieces
  };
  // Ids may have gaps, but not many: kCorruptData for those far beyond the number of tokens.
  Vocabulary(std::vector<NamedToken>&& tokens, Repeats repeats, std::string_view where);
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;

  // Highest id + 1.
  int size() const { return static_cast<int>(tokens_.size()); }
  bool contains(TokenId id) const {
    return id >= 0 && static_cast<size_t>(id) < present_.size() &&
           present_[static_cast<size_t>(id)];
  }
  const std::string& token(TokenId id) const { return tokens_[static_cast<size_t>(id)]; }
  std::optional<TokenId> find(std::string_view token) const;
  // The ids of <0x00> to <0xFF>, -1 where there is none.
  std::vector<TokenId> byte_tokens() const;

 private:
  std::vector<std::string> tokens_;  // by id, empty in gaps
  std::vector<bool> present_;
  std::unordered_map<std::string_view, TokenId> ids_;  // views into tokens_
};

class TokenModel {
 public:
  static constexpr size_t kLongestPiece = 1 << 30;

  TokenModel(std::vector<NamedToken>&& tokens, Vocabulary::Repeats repeats, std::string_view where)
      : vocabulary_(std::move(tokens), repeats, where) {}
  virtual ~TokenModel() = default;
  TokenModel(const TokenModel&) = delete;
  TokenModel& operator=(const TokenModel&) = delete;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  // Whether user-defined pieces compete with others by their scores; else they are found first.
  virtual bool weighs_pieces() const { return false; }
  // The token for text that no other token spells.
  virtual std::optional<TokenId> unk() const = 0;
  // Appends the ids of `piece` to `out`. `byte_level`: the piece is bytes, to be read in the
  // byte-level alphabet.
  void encode(std::string_view piece, bool byte_level, WordCache& cache,
              std::vector<TokenId>& out) const;
  // The same with every merge skipped with probability `dropout` each time it comes up, uncached.
  // kUnsupported where the model merges nothing.
  virtual void encode_with_dropout(std::string_view piece, bool byte_level, double dropout,
                                   Rng& rng, std::vector<TokenId>& out) const;
  // What a token spells within a word: its text without the marks of its place there.
  virtual std::string_view bare(TokenId id) const { return vocabulary_.token(id); }
  // Appends the members of the model's JSON object that hold the vocabulary.
  virtual void write_json(std::string& out) const = 0;

 protected:
  // For models where no token runs over the beginning of a word marked with "▁": pieces are cut
  // there, which changes no id, and lets words be cached. Does nothing where some token does.
  void cut_at_marks();
  // The length of the word that a piece begins with: all of it unless cut_at_marks() cuts.
  size_t first_word(std::string_view piece) const;
  // encode() without its bound: word by word through encode_afresh() and the cache.
  virtual void encode_piece(std::string_view piece, bool byte_level, WordCache& cache,
                            std::vector<TokenId>& out) const;
  // The ids of a word that no cache knows; `out` is empty.
  virtual void encode_afresh(std::string_view word, bool byte_level,
                             std::vector<TokenId>& out) const = 0;
  // {"token": id, ...} in order of id.
  void write_vocabulary(std::string& out) const;

 private:
  void encode_word(std::string_view word, bool byte_level, WordCache& cache,
                   std::vector<TokenId>& out) const;

  Vocabulary vocabulary_;
  bool cuts_at_marks_ = false;
};

}  // namespace alambic
