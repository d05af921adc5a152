#include "alambic/text/piece_vocabulary.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/text/published_patterns.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

// Every way of cutting a piece in two is looked at, so their length bounds the work.
constexpr size_t kLongestPiece = 512;

using Pieces = std::vector<PieceVocabulary::Piece>;

std::string encode_base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t at = 0; at < bytes.size(); at += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - at);
    uint32_t bits = 0;
    for (size_t i = 0; i < 3; ++i) {
      bits = (bits << 8) | (i < count ? static_cast<uint8_t>(bytes[at + i]) : 0U);
    }
    for (size_t i = 0; i < 4; ++i) {
      text += i <= count ? kDigits[(bits >> (18 - 6 * i)) & 63] : '=';
    }
  }
  return text;
}

// SentencePiece joins the two neighbours whose union has the best score. As ranked merges: every
// way of cutting a piece in two pieces, the best piece first. Where two ways of making the same
// piece overlap, as in "aaa", the shorter left part is the leftmost place.
std::vector<NamedMerge> merges_of(const Pieces& pieces, std::string_view where) {
  std::unordered_map<std::string_view, size_t> normal;
  normal.reserve(pieces.size());
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (pieces[id].kind == PieceKind::kNormal) normal.emplace(pieces[id].text, id);
  }
  struct Cut {
    float score;
    size_t id, at;
  };
  std::vector<Cut> cuts;
  for (size_t id = 0; id < pieces.size(); ++id) {
    const auto& [text, score, kind] = pieces[id];
    if (kind != PieceKind::kNormal) continue;
    if (text.size() > kLongestPiece) {
      fail(ErrorCode::kUnsupported, "[{}] piece {} has {} bytes; want at most {}", where, id,
           text.size(), kLongestPiece);
    }
    const std::string_view view = text;
    for (size_t at = 0; at < view.size();) {
      at += decode_utf8(view, at).length;
      if (at < view.size() && normal.contains(view.substr(0, at)) &&
          normal.contains(view.substr(at))) {
        cuts.push_back({score, id, at});
      }
    }
  }
  std::stable_sort(cuts.begin(), cuts.end(),
                   [](const Cut& a, const Cut& b) { return a.score > b.score; });
  std::vector<NamedMerge> merges;
  merges.reserve(cuts.size());
  for (const Cut& cut : cuts) {
    const std::string& text = pieces[cut.id].text;
    merges.emplace_back(text.substr(0, cut.at), text.substr(cut.at));
  }
  return merges;
}

Json normalizer_of(const PieceVocabulary& vocabulary) {
  Json steps = Json::array();
  if (!vocabulary.charsmap.empty()) {
    steps.push_back({{"type", "Precompiled"},
                     {"precompiled_charsmap", encode_base64(vocabulary.charsmap)},
                     {"match", "longest"}});
  }
  if (vocabulary.remove_extra_whitespaces) {
    steps.push_back(replace_step("Regex", kOuterSpacesExpression, ""));
    steps.push_back(replace_step("Regex", kManySpacesExpression, " "));
  }
  if (vocabulary.dummy_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", "▁"}});
  steps.push_back(replace_step("String", " ", "▁"));
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

Json plain_model_of(const PieceVocabulary& vocabulary, std::string_view where) {
  const auto& pieces = vocabulary.pieces;
  const auto unknown = std::find_if(pieces.begin(), pieces.end(), [](const auto& piece) {
    return piece.kind == PieceKind::kUnknown;
  });
  if (unknown == pieces.end()) {
    fail(ErrorCode::kCorruptData, "[{}] no piece is of the unknown kind", where);
  }
  if (!vocabulary.unigram) {
    return {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", unknown->text},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", true},
            {"byte_fallback", vocabulary.byte_fallback},
            {"ignore_merges", false}};
  }
  Json hidden = Json::array();
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (pieces[id].kind != PieceKind::kNormal && pieces[id].kind != PieceKind::kUserDefined) {
      hidden.push_back(id);
    }
  }
  return {{"type", "Unigram"},
          {"unk_id", unknown - pieces.begin()},
          {"byte_fallback", vocabulary.byte_fallback},
          {"precision", "single"},
          {"hidden", hidden}};
}

Json model_of(const PieceVocabulary& vocabulary, std::string_view where) {
  Json model = plain_model_of(vocabulary, where);
  Json user_defined = Json::array();
  for (size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    if (vocabulary.pieces[id].kind == PieceKind::kUserDefined) user_defined.push_back(id);
  }
  if (!user_defined.empty()) model["user_defined"] = std::move(user_defined);
  return model;
}

// How many spaces at the start of a decoded text are not its own.
int leading_spaces(const PieceVocabulary& vocabulary) {
  constexpr int kAll = 1 << 16;
  if (vocabulary.remove_extra_whitespaces) return kAll;
  return vocabulary.dummy_prefix ? 1 : 0;
}

}  // namespace

PieceKind piece_kind(uint64_t number, std::string_view piece, std::string_view where) {
  if (number < 1 || number > 6) {
    fail(ErrorCode::kCorruptData, "[{}] kind of piece {}; got {}, want 1 to 6", where,
         dump_json(Json(piece.substr(0, 80))), number);
  }
  return static_cast<PieceKind>(number);
}

TokenizerParts parts_of_pieces(PieceVocabulary&& vocabulary, std::string_view where) {
  TokenizerParts parts;
  for (const auto& piece : vocabulary.pieces) {
    if (!std::isfinite(piece.score)) {
      fail(ErrorCode::kCorruptData, "[{}] score of piece {}; got {}, want a finite number", where,
           dump_json(Json(piece.text.substr(0, 80))), piece.score);
    }
  }
  if (!vocabulary.unigram) parts.merges = merges_of(vocabulary.pieces, where);
  parts.settings = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"normalizer", normalizer_of(vocabulary)},
      {"pre_tokenizer", nullptr},
      {"post_processor", nullptr},
      {"decoder", metaspace_decoder(vocabulary.byte_fallback, leading_spaces(vocabulary))},
      {"model", model_of(vocabulary, where)}};
  parts.tokens.reserve(vocabulary.pieces.size());
  for (auto& [text, score, kind] : vocabulary.pieces) {
    const auto id = static_cast<TokenId>(parts.tokens.size());
    const bool special = kind == PieceKind::kControl || kind == PieceKind::kUnknown;
    if (special || kind == PieceKind::kUserDefined) {
      AddedToken token;
      token.id = id;
      token.content = text;
      // For other readers: spaces are found in the form that they are normalized to.
      token.normalized = !special && text.find("▁") != std::string::npos;
      token.special = special;
      parts.added.push_back(std::move(token));
    }
    if (vocabulary.unigram) parts.scores.push_back(score);
    parts.tokens.emplace_back(std::move(text), id);
  }
  return parts;
}

}  // namespace alambic
