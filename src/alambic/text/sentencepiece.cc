// SentencePiece .model files: a protocol buffer of pieces with scores, the trainer's settings and
// the normalizer's. Only the fields that change ids are read; others are skipped.
// Format: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
#include <cstring>
#include <optional>

#include "alambic/base/error.h"
#include "alambic/text/piece_vocabulary.h"
#include "alambic/text/tokenizer_parts.h"

namespace alambic {
namespace {

// A message of the wire format, field by field. Every length is checked against the bytes at hand.
class WireReader {
 public:
  WireReader(std::string_view bytes, std::string_view where) : left_(bytes), where_(where) {}

  // Steps to the next field; false at the end.
  bool next() {
    if (left_.empty()) return false;
    const uint64_t tag = varint();
    field_ = tag >> 3;
    wire_ = static_cast<int>(tag & 7);
    number_ = 0;
    bytes_ = {};
    switch (wire_) {
      case 0:
        number_ = varint();
        break;
      case 1:
        bytes_ = take(8);
        break;
      case 2:
        bytes_ = take(varint());
        break;
      case 5:
        bytes_ = take(4);
        break;
      default:
        fail(ErrorCode::kCorruptData, "[{}] is not a SentencePiece model: wire type {}", where_,
             wire_);
    }
    return true;
  }

  uint64_t field() const { return field_; }
  uint64_t number() const { return wire_ == 0 ? number_ : wrong("a number"); }
  std::string_view bytes() const { return wire_ == 2 ? bytes_ : (wrong("bytes"), bytes_); }
  float real() const {
    if (wire_ != 5) wrong("a 32-bit float");
    float value = 0;
    std::memcpy(&value, bytes_.data(), sizeof value);
    return value;
  }

 private:
  [[noreturn]] uint64_t wrong(const char* want) const {
    fail(ErrorCode::kCorruptData, "[{}] field {} has wire type {}; want {}", where_, field_, wire_,
         want);
  }
  std::string_view take(uint64_t size) {
    if (size > left_.size()) {
      fail(ErrorCode::kCorruptData, "[{}] is truncated; a field of {} bytes with {} left", where_,
           size, left_.size());
    }
    const std::string_view taken = left_.substr(0, static_cast<size_t>(size));
    left_.remove_prefix(taken.size());
    return taken;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail(ErrorCode::kCorruptData, "[{}] holds a number of more than 64 bits", where_);
  }

  std::string_view left_, where_;
  uint64_t field_ = 0, number_ = 0;
  int wire_ = 0;
  std::string_view bytes_;
};

PieceVocabulary::Piece read_piece(std::string_view bytes, std::string_view where) {
  PieceVocabulary::Piece piece;
  uint64_t kind = 1;
  for (WireReader reader(bytes, where); reader.next();) {
    if (reader.field() == 1) piece.text = reader.bytes();
    if (reader.field() == 2) piece.score = reader.real();
    if (reader.field() == 3) kind = reader.number();
  }
  piece.kind = piece_kind(kind, piece.text, where);
  return piece;
}

// Ids of the tokens in a role, -1 where there is none.
struct Roles {
  int64_t unk = 0, bos = 1, eos = 2, pad = -1;
};

void read_trainer(std::string_view bytes, std::string_view where, PieceVocabulary& vocabulary,
                  Roles& roles) {
  uint64_t type = 1;
  for (WireReader reader(bytes, where); reader.next();) {
    switch (reader.field()) {
      case 3:
        type = reader.number();
        break;
      case 24:
        if (reader.number() != 0) {
          fail(ErrorCode::kUnsupported, "[{}] pieces that end with their space", where);
        }
        break;
      case 35:
        vocabulary.byte_fallback = reader.number() != 0;
        break;
      case 40:
        roles.unk = static_cast<int64_t>(reader.number());
        break;
      case 41:
        roles.bos = static_cast<int64_t>(reader.number());
        break;
      case 42:
        roles.eos = static_cast<int64_t>(reader.number());
        break;
      case 43:
        roles.pad = static_cast<int64_t>(reader.number());
        break;
      default:
        break;
    }
  }
  if (type != 1 && type != 2) {
    fail(ErrorCode::kUnsupported, "[{}] model type; got {}, want 1 (unigram) or 2 (BPE)", where,
         type);
  }
  vocabulary.unigram = type == 1;
}

void read_normalizer(std::string_view bytes, std::string_view where, PieceVocabulary& vocabulary) {
  for (WireReader reader(bytes, where); reader.next();) {
    switch (reader.field()) {
      case 2:
        vocabulary.charsmap = reader.bytes();
        break;
      case 3:
        vocabulary.dummy_prefix = reader.number() != 0;
        break;
      case 4:
        vocabulary.remove_extra_whitespaces = reader.number() != 0;
        break;
      case 5:
        if (reader.number() == 0) {
          fail(ErrorCode::kUnsupported, "[{}] pieces that hold spaces as they are", where);
        }
        break;
      default:
        break;
    }
  }
}

}  // namespace

TokenizerParts read_sentencepiece(std::span<const std::byte> file, std::string_view where) {
  PieceVocabulary vocabulary;
  vocabulary.unigram = true;
  vocabulary.remove_extra_whitespaces = true;
  Roles roles;
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  for (WireReader reader(bytes, where); reader.next();) {
    if (reader.field() == 1) vocabulary.pieces.push_back(read_piece(reader.bytes(), where));
    if (reader.field() == 2) read_trainer(reader.bytes(), where, vocabulary, roles);
    if (reader.field() == 3) read_normalizer(reader.bytes(), where, vocabulary);
  }
  if (vocabulary.pieces.empty()) {
    fail(ErrorCode::kCorruptData, "[{}] is not a SentencePiece model: it has no pieces", where);
  }
  TokenizerParts parts = parts_of_pieces(std::move(vocabulary), where);
  const auto name = [&](const char* role, int64_t id) {
    if (id >= 0 && id < static_cast<int64_t>(parts.tokens.size())) {
      parts.roles[role] = parts.tokens[static_cast<size_t>(id)].first;
    }
  };
  name("unk_token", roles.unk);
  name("bos_token", roles.bos);
  name("eos_token", roles.eos);
  name("pad_token", roles.pad);
  return parts;
}

}  // namespace alambic
