// The WordPiece model of BERT: a word becomes the longest token it starts with, then the longest
// continuation, and so on; a word that cannot be spelled is one unknown token.
// Ownership, thread safety: as TokenModel. Errors: kCorruptData for a missing unknown token.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/text/byte_trie.h"
#include "alambic/text/token_model.h"

namespace alambic {

struct WordPieceSettings {
  std::string unk_token = "[UNK]";
  std::string continuing_prefix = "##";
  uint64_t longest_word = 100;  // characters; a longer word is unknown
};

class WordPiece : public TokenModel {
 public:
  WordPiece(WordPieceSettings settings, std::vector<NamedToken>&& tokens, std::string_view where);

  std::optional<TokenId> unk() const override { return unk_; }
  std::string_view bare(TokenId id) const override;
  void write_json(std::string& out) const override { write_vocabulary(out); }

 protected:
  void encode_afresh(std::string_view piece, bool byte_level,
                     std::vector<TokenId>& out) const override;

 private:
  WordPieceSettings settings_;
  TokenId unk_ = 0;
  ByteTrie starts_, continuations_;
};

}  // namespace alambic
