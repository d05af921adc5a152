// The unigram model: every token has a log-probability, and a piece becomes the most probable
// sequence of tokens that spells it (Viterbi). Kudo, "Subword Regularization", 2018.
// Ownership, thread safety: as TokenModel. Errors: kCorruptData for scores that are no numbers.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/text/byte_trie.h"
#include "alambic/text/token_model.h"

namespace alambic {

struct UnigramSettings {
  std::optional<TokenId> unk;
  bool byte_fallback = false;  // unknown characters become <0x00> ... <0xFF>
  // Where two paths are nearly as good, rounding decides. SentencePiece keeps sums in single
  // precision, Python's `tokenizers` in double.
  bool single_precision = false;
};

class Unigram : public TokenModel {
 public:
  // `scores`: one for each token; the ids of the tokens are their places. `hidden`: ids that no
  // text may become, such as control tokens.
  // `user_defined`: ids that win over whatever else spells the same, by SentencePiece's bonus.
  Unigram(const UnigramSettings& settings, std::vector<NamedToken>&& tokens,
          std::vector<double> scores, std::span<const TokenId> hidden,
          std::span<const TokenId> user_defined, std::string_view where);

  bool weighs_pieces() const override { return true; }
  std::optional<TokenId> unk() const override { return settings_.unk; }
  void write_json(std::string& out) const override;

 protected:
  void encode_piece(std::string_view piece, bool byte_level, WordCache& cache,
                    std::vector<TokenId>& out) const override;
  void encode_afresh(std::string_view word, bool byte_level,
                     std::vector<TokenId>& out) const override;

 private:
  // The best way to spell a text up to some byte.
  template <class Score>
  struct BestPath {
    Score score = 0;
    Score second = 0;     // of the best path that ends here with another last token
    TokenId id = -1;      // of its last token, -1 for an unknown character
    uint32_t length = 0;  // of its last token in bytes; 0 where no path ends
  };
  // What a spelling is worth, and whether it would be the same one in any other place.
  template <class Score>
  struct Spelling {
    Score total;
    bool steady;
  };
  // `Score` is what sums are kept in: they run over all words of a piece.
  template <class Score>
  void append_words(std::string_view text, WordCache& cache, std::vector<TokenId>& out) const;
  // Appends the ids of the best path behind others that are worth `total`.
  template <class Score>
  Spelling<Score> append_best_path(std::string_view word, Score total,
                                   std::vector<TokenId>& out) const;
  template <class Score>
  Spelling<Score> append_best_path(std::string_view word, Score total,
                                   std::span<BestPath<Score>> best,
                                   std::vector<TokenId>& out) const;
  // Whether the spelling of a short word is beyond rounding errors behind others worth `total`.
  template <class Score>
  bool is_small(Score total) const;
  void give_bonus(std::span<const TokenId> user_defined);
  void append_unknown(std::string_view text, std::vector<TokenId>& out) const;

  UnigramSettings settings_;
  std::vector<double> scores_;       // as in the file
  std::vector<double> read_scores_;  // as the reference reads them, bonuses included
  double unknown_score_ = 0;
  double largest_score_ = 0;  // whatever its sign
  ByteTrie trie_;
  std::vector<TokenId> byte_tokens_;
};

}  // namespace alambic
