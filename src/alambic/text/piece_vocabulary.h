// What SentencePiece models and the GGUF vocabularies made from them share: pieces with a score and
// a kind, "▁" for a space.
// Ownership: plain values. Thread safety: stateless. Errors: kCorruptData and kUnsupported.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/text/tokenizer_parts.h"

namespace alambic {

// The numbers are those of both formats.
enum class PieceKind : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

struct PieceVocabulary {
  struct Piece {
    std::string text;
    float score = 0;
    PieceKind kind = PieceKind::kNormal;
  };
  std::vector<Piece> pieces;  // by id
  bool unigram = false;       // else BPE, whose merges follow from the scores
  bool byte_fallback = false;
  bool dummy_prefix = true;               // a space in front of every text
  bool remove_extra_whitespaces = false;  // none at the ends, one elsewhere
  std::string charsmap;                   // see Charsmap
};

// Where a kind in a file is none of the above: kCorruptData.
PieceKind piece_kind(uint64_t number, std::string_view piece, std::string_view where);
TokenizerParts parts_of_pieces(PieceVocabulary&& vocabulary, std::string_view where);

}  // namespace alambic
