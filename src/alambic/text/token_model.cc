#include "alambic/text/token_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "alambic/base/error.h"
#include "alambic/base/json.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

constexpr std::string_view kMark = "▁";

// Where the first "▁" after something else stands, npos if there is none.
size_t next_marked_word(std::string_view text) {
  size_t at = 0;
  while (text.substr(at).starts_with(kMark)) at += kMark.size();
  return text.find(kMark, at);
}

}  // namespace

Vocabulary::Vocabulary(std::vector<NamedToken>&& tokens, Repeats repeats, std::string_view where) {
  // Gaps in the numbering exist in honest files, but small ones.
  const size_t limit = 2 * tokens.size() + (1 << 16);
  size_t size = 0;
  for (const auto& [token, id] : tokens) {
    if (id < 0 || static_cast<size_t>(id) >= limit) {
      fail(ErrorCode::kCorruptData, "[{}] id of token \"{}\"; got {}, want 0 to {}", where, token,
           id, limit - 1);
    }
    size = std::max(size, static_cast<size_t>(id) + 1);
  }
  tokens_.resize(size);
  present_.resize(size);
  ids_.reserve(tokens.size());
  for (auto& [token, id] : tokens) {
    const size_t at = static_cast<size_t>(id);
    if (present_[at]) {
      fail(ErrorCode::kCorruptData, "[{}] tokens \"{}\" and \"{}\" share the id {}", where,
           tokens_[at], token, id);
    }
    if (valid_utf8_prefix(token) != token.size()) {
      fail(ErrorCode::kCorruptData, "[{}] token {} is no UTF-8: {}", where, id,
           dump_json(Json(token)));
    }
    tokens_[at] = std::move(token);
    present_[at] = true;
  }
  for (size_t i = 0; i < size; ++i) {
    if (!present_[i]) continue;
    const auto [other, fresh] = ids_.emplace(tokens_[i], static_cast<TokenId>(i));
    if (!fresh && repeats == Repeats::kRefused) {
      fail(ErrorCode::kCorruptData, "[{}] token \"{}\" has the ids {} and {}", where, tokens_[i],
           other->second, i);
    }
    other->second = static_cast<TokenId>(i);
  }
}

std::optional<TokenId> Vocabulary::find(std::string_view token) const {
  const auto it = ids_.find(token);
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

std::vector<TokenId> Vocabulary::byte_tokens() const {
  std::vector<TokenId> ids;
  ids.reserve(256);
  for (int byte = 0; byte < 256; ++byte) {
    ids.push_back(find(fmt::format("<0x{:02X}>", byte)).value_or(-1));
  }
  return ids;
}

void TokenModel::encode(std::string_view piece, bool byte_level, WordCache& cache,
                        std::vector<TokenId>& out) const {
  if (piece.size() > kLongestPiece) {
    fail(ErrorCode::kResourceExhausted, "[tokenizer] piece of text too long; got {} bytes, want {}",
         piece.size(), kLongestPiece);
  }
  encode_piece(piece, byte_level, cache, out);
}

size_t TokenModel::first_word(std::string_view piece) const {
  return cuts_at_marks_ ? std::min(next_marked_word(piece), piece.size()) : piece.size();
}

void TokenModel::encode_piece(std::string_view piece, bool byte_level, WordCache& cache,
                              std::vector<TokenId>& out) const {
  if (byte_level) return encode_word(piece, byte_level, cache, out);
  while (!piece.empty()) {
    const size_t end = first_word(piece);
    encode_word(piece.substr(0, end), byte_level, cache, out);
    piece.remove_prefix(end);
  }
}

void TokenModel::encode_word(std::string_view word, bool byte_level, WordCache& cache,
                             std::vector<TokenId>& out) const {
  const bool cached = word.size() <= WordCache::kLongestWord;
  const uint64_t hash = cached ? WordCache::hash(word) : 0;
  if (cached) {
    if (const auto ids = cache.find(word, hash); !ids.empty()) {
      out.insert(out.end(), ids.begin(), ids.end());
      return;
    }
  }
  cache.symbols.clear();
  encode_afresh(word, byte_level, cache.symbols);
  if (cached) cache.store(word, hash, cache.symbols);
  out.insert(out.end(), cache.symbols.begin(), cache.symbols.end());
}

void TokenModel::cut_at_marks() {
  cuts_at_marks_ = vocabulary_.find(kMark).has_value();
  for (TokenId id = 0; id < vocabulary_.size() && cuts_at_marks_; ++id) {
    cuts_at_marks_ = next_marked_word(vocabulary_.token(id)) == std::string_view::npos;
  }
}

void TokenModel::encode_with_dropout(std::string_view, bool, double, Rng&,
                                     std::vector<TokenId>&) const {
  fail(ErrorCode::kUnsupported, "[tokenizer] dropout of merges; this model has none");
}

void TokenModel::write_vocabulary(std::string& out) const {
  out += "\"vocab\": {";
  bool first = true;
  for (TokenId id = 0; id < vocabulary_.size(); ++id) {
    if (!vocabulary_.contains(id)) continue;
    out += std::exchange(first, false) ? "\n" : ",\n";
    out += fmt::format("{}: {}", dump_json(Json(vocabulary_.token(id))), id);
  }
  out += "}";
}

}  // namespace alambic
