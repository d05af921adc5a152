// Text to ids, and where bytes of the text fall among them.
#include <algorithm>
#include <optional>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/text/tokenizer_state.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

// Returns a borrowed cache to its pool, also when encoding throws.
class BorrowedCache {
 public:
  explicit BorrowedCache(WordCachePool& pool) : pool_(pool), cache_(pool.take()) {}
  ~BorrowedCache() { pool_.give(std::move(cache_)); }
  BorrowedCache(const BorrowedCache&) = delete;
  BorrowedCache& operator=(const BorrowedCache&) = delete;
  WordCache& operator*() { return *cache_; }

 private:
  WordCachePool& pool_;
  std::unique_ptr<WordCache> cache_;
};

size_t shared_prefix(std::string_view a, std::string_view b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                             a.begin());
}

// A part of a stretch, at its place in the parts joined, and its first token.
struct PlacedPart {
  std::string text;
  size_t begin, token;
  bool added;
};

// Where a token of a piece begins, and how much of the piece it holds.
struct TokenPlace {
  size_t begin, length;
};

std::optional<TokenPlace> place_of_token(const TokenModel& model, TokenId id, std::string_view text,
                                         size_t at) {
  if (id == model.unk() || !model.vocabulary().contains(id)) return std::nullopt;
  const std::string_view whole = model.vocabulary().token(id), bare = model.bare(id);
  const std::string_view rest = text.substr(at);
  if (rest.starts_with(whole)) return TokenPlace{at, whole.size()};
  if (rest.starts_with(bare)) return TokenPlace{at, bare.size()};
  if (whole.size() == 6 && whole.starts_with("<0x")) return TokenPlace{at, 1};
  for (const std::string_view spelled : {whole, bare}) {
    const size_t found = text.find(spelled, at);
    if (found != std::string_view::npos) return TokenPlace{found, spelled.size()};
  }
  return std::nullopt;
}

// Which of a piece's tokens holds its byte `at`; an unknown token holds all up to the next known.
TokenSeam seam_in_piece(const TokenModel& model, std::string_view piece, bool byte_level,
                        std::span<const TokenId> ids, size_t at) {
  std::string chars;
  if (byte_level) {
    chars = bytes_to_chars(piece);
    at = bytes_to_chars(piece.substr(0, at)).size();
    piece = chars;
  }
  size_t end = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const size_t from = std::min(end, piece.size());
    const auto place = place_of_token(model, ids[i], piece, from);
    size_t begin = from;
    if (place) {
      begin = place->begin;
      end = place->begin + place->length;
    } else {
      end = piece.size();
      if (i + 1 < ids.size()) {
        const auto next = place_of_token(model, ids[i + 1], piece, std::min(from + 1, end));
        if (next) end = next->begin;
      }
    }
    if (at <= begin) return {i, false};
    if (at < end) return {i, true};
  }
  return {ids.size(), false};
}

}  // namespace

void Tokenizer::State::cut(std::string_view stretch, bool opens, bool parse_special,
                           std::span<const size_t> plain, const PartSink& sink) const {
  std::string storage;
  std::string_view normalized = stretch;
  if (!normalizer.empty()) normalized = storage = normalizer.normalize(stretch);
  std::vector<size_t> moved;
  if (!plain.empty() && normalized_finder.finds_special() && !normalizer.empty()) {
    for (const size_t byte : plain) {
      const std::string before = normalizer.normalize(stretch.substr(0, byte));
      moved.push_back(shared_prefix(before, normalized));
    }
    plain = moved;
  }
  const PieceSink piece_sink = [&](const Piece& piece) { sink(piece, nullptr); };
  normalized_finder.split(normalized, parse_special, plain,
                          [&](std::string_view part, const AddedToken* token) {
                            const bool first = opens && part.data() == normalized.data();
                            if (token != nullptr) {
                              sink({part, first}, token);
                            } else {
                              pre_tokenizer.split({part, first}, piece_sink);
                            }
                          });
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<TokenSeam> none;
  return encode(text, options, {}, none);
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, const EncodeOptions& options,
                                       std::span<const size_t> cuts,
                                       std::vector<TokenSeam>& seams) const {
  if (!(options.dropout >= 0 && options.dropout <= 1)) {
    fail(ErrorCode::kInvalidArgument, "[tokenizer] BPE dropout; got {}, want 0 to 1",
         options.dropout);
  }
  if (options.dropout > 0 && options.rng == nullptr) {
    fail(ErrorCode::kInvalidArgument, "[tokenizer] BPE dropout without a random generator");
  }
  const State& state = *state_;
  seams.clear();
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 3);
  if (options.special_prefix) ids.insert(ids.end(), state.prefix.begin(), state.prefix.end());
  BorrowedCache cache(state.caches);
  const bool byte_level = state.pre_tokenizer.byte_level();
  const auto encode_piece = [&](std::string_view piece) {
    if (options.dropout > 0) {
      state.model->encode_with_dropout(piece, byte_level, options.dropout, *options.rng, ids);
    } else {
      state.model->encode(piece, byte_level, *cache, ids);
    }
  };
  std::vector<size_t> plain;  // of the stretch at hand
  const auto encode_stretch = [&](std::string_view stretch, size_t begin,
                                  std::span<const size_t> inner) {
    const bool opens = begin == 0;
    const auto low = std::lower_bound(options.plain.begin(), options.plain.end(), begin);
    plain.clear();
    for (auto it = low; it != options.plain.end() && *it < begin + stretch.size(); ++it)
      plain.push_back(*it - begin);
    std::vector<PlacedPart> parts;
    std::string all;
    state.cut(
        stretch, opens, options.parse_special, plain,
        [&](const Piece& piece, const AddedToken* token) {
          if (!inner.empty()) {
            parts.push_back({std::string(piece.text), all.size(), ids.size(), token != nullptr});
            all += piece.text;
          }
          token != nullptr ? ids.push_back(token->id) : encode_piece(piece.text);
        });
    for (const size_t byte : inner) {
      std::string before;
      const std::string_view head = stretch.substr(0, byte - begin);
      const auto last = std::lower_bound(plain.begin(), plain.end(), head.size());
      state.cut(head, opens, options.parse_special,
                std::span(plain).first(static_cast<size_t>(last - plain.begin())),
                [&](const Piece& piece, const AddedToken*) { before += piece.text; });
      const size_t at = shared_prefix(before, all);
      auto part = std::upper_bound(parts.begin(), parts.end(), at,
                                   [](size_t a, const PlacedPart& p) { return a < p.begin; });
      if (at == all.size() || part == parts.begin()) {
        seams.push_back({ids.size(), false});
        continue;
      }
      --part;
      const size_t until = part + 1 == parts.end() ? ids.size() : (part + 1)->token;
      const size_t inside = at - part->begin;
      if (part->added || inside == 0) {
        seams.push_back({part->token, inside > 0});
        continue;
      }
      TokenSeam seam =
          seam_in_piece(*state.model, part->text, byte_level,
                        std::span(ids).subspan(part->token, until - part->token), inside);
      seam.token += part->token;
      seams.push_back(seam);
    }
  };
  state.raw_finder.split(text, options.parse_special, options.plain,
                         [&](std::string_view part, const AddedToken* token) {
                           const auto begin = static_cast<size_t>(part.data() - text.data());
                           while (seams.size() < cuts.size() && cuts[seams.size()] <= begin)
                             seams.push_back({ids.size(), false});
                           const auto first =
                               cuts.begin() + static_cast<std::ptrdiff_t>(seams.size());
                           const std::span<const size_t> inner(
                               first, std::lower_bound(first, cuts.end(), begin + part.size()));
                           if (token == nullptr) return encode_stretch(part, begin, inner);
                           for (size_t i = 0; i < inner.size(); ++i)
                             seams.push_back({ids.size(), true});
                           ids.push_back(token->id);
                         });
  while (seams.size() < cuts.size()) seams.push_back({ids.size(), false});
  if (options.special_prefix && options.special_suffix)
    ids.insert(ids.end(), state.suffix.begin(), state.suffix.end());
  return ids;
}

}  // namespace alambic
