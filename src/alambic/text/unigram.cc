#include "alambic/text/unigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <unordered_set>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/base/json.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

// How much worse than the worst token an unknown character is.
constexpr double kUnknownPenalty = 10;
// By how much a spelling must be better than all others to be so beyond rounding errors.
constexpr double kClear = 0.1;

// The number that Python's `tokenizers` gets from the decimal digits that files hold: all digits as
// one integer, rounded, then scaled by a power of ten, and rounded again. It may be off by one in
// the last place, which matters where paths tie.
double as_reference_reads(double score) {
  const std::string digits = fmt::format("{}", score);  // the shortest that reads back
  const size_t end = std::min(digits.find('e'), digits.size());
  const size_t point = std::min(digits.find('.'), end);
  uint64_t significand = 0;
  for (const char c : digits.substr(0, end)) {
    if (c >= '0' && c <= '9') significand = significand * 10 + static_cast<uint64_t>(c - '0');
  }
  int exponent = end < digits.size() ? std::stoi(digits.substr(end + 1)) : 0;
  if (point < end) exponent -= static_cast<int>(end - point - 1);
  const double scale = std::pow(10.0, std::abs(exponent));
  const double size = static_cast<double>(significand);
  const double value = exponent < 0 ? size / scale : size * scale;
  if (!std::isfinite(value)) return score;
  return score < 0 ? -value : value;
}

ByteTrie make_trie(const Vocabulary& vocabulary, std::span<const TokenId> hidden) {
  const std::unordered_set<TokenId> skip(hidden.begin(), hidden.end());
  std::vector<std::pair<std::string_view, TokenId>> entries;
  entries.reserve(static_cast<size_t>(vocabulary.size()));
  for (TokenId id = 0; id < vocabulary.size(); ++id) {
    // Of pieces with the same text only the one that is found.
    if (vocabulary.contains(id) && !skip.contains(id) &&
        vocabulary.find(vocabulary.token(id)) == id) {
      entries.emplace_back(vocabulary.token(id), id);
    }
  }
  return ByteTrie(std::move(entries));
}

}  // namespace

Unigram::Unigram(const UnigramSettings& settings, std::vector<NamedToken>&& tokens,
                 std::vector<double> scores, std::span<const TokenId> hidden,
                 std::span<const TokenId> user_defined, std::string_view where)
    : TokenModel(std::move(tokens), Vocabulary::Repeats::kLastIsFound, where),
      settings_(settings),
      scores_(std::move(scores)),
      trie_(make_trie(vocabulary(), hidden)),
      byte_tokens_(vocabulary().byte_tokens()) {
  if (scores_.size() != static_cast<size_t>(vocabulary().size())) {
    fail(ErrorCode::kCorruptData, "[{}] number of scores; got {}, want {}", where, scores_.size(),
         vocabulary().size());
  }
  for (size_t i = 0; i < scores_.size(); ++i) {
    if (!std::isfinite(scores_[i])) {
      fail(ErrorCode::kCorruptData, "[{}] score of token {}; got {}, want a finite number", where,
           i, scores_[i]);
    }
  }
  if (settings_.unk && !vocabulary().contains(*settings_.unk)) {
    fail(ErrorCode::kCorruptData, "[{}] unk_id; got {}, want less than {}", where, *settings_.unk,
         vocabulary().size());
  }
  read_scores_ = scores_;
  if (!settings_.single_precision) {
    std::transform(scores_.begin(), scores_.end(), read_scores_.begin(), as_reference_reads);
  }
  if (!scores_.empty()) {
    unknown_score_ = *std::min_element(read_scores_.begin(), read_scores_.end()) - kUnknownPenalty;
    if (settings_.single_precision) unknown_score_ = static_cast<float>(unknown_score_);
    give_bonus(user_defined);
    largest_score_ = std::abs(unknown_score_);
    for (const double score : read_scores_)
      largest_score_ = std::max(largest_score_, std::abs(score));
  }
  cut_at_marks();
}

// A little better than certain, the more so the longer: whatever else spells the same loses.
// SentencePiece's own numbers, measured on its release 0.2.3.
void Unigram::give_bonus(std::span<const TokenId> user_defined) {
  constexpr float kOfByte = 0.1F;
  for (const TokenId id : user_defined) {
    const std::string& piece = vocabulary().token(id);
    const float bonus = kOfByte * (static_cast<float>(piece.size()) - 1);
    read_scores_[static_cast<size_t>(id)] = static_cast<double>(bonus);
  }
}

void Unigram::encode_piece(std::string_view piece, bool byte_level, WordCache& cache,
                           std::vector<TokenId>& out) const {
  const std::string chars = byte_level ? bytes_to_chars(piece) : std::string();
  const std::string_view text = byte_level ? chars : piece;
  settings_.single_precision ? append_words<float>(text, cache, out)
                             : append_words<double>(text, cache, out);
}

void Unigram::encode_afresh(std::string_view word, bool byte_level,
                            std::vector<TokenId>& out) const {
  WordCache unused;
  encode_piece(word, byte_level, unused, out);
}

// Between the totals of two spellings of a short word lies their difference, give or take the
// rounding of each of its tokens. Where totals are small, what differs by kClear or more keeps its
// order, and a cached spelling is what the reference finds.
template <class Score>
bool Unigram::is_small(Score total) const {
  constexpr double kMostTokens = WordCache::kLongestWord;
  constexpr double kLargest = kClear / (2 * kMostTokens * std::numeric_limits<Score>::epsilon());
  return std::abs(static_cast<double>(total)) + kMostTokens * largest_score_ < kLargest;
}

template <class Score>
void Unigram::append_words(std::string_view text, WordCache& cache,
                           std::vector<TokenId>& out) const {
  for (Score total = 0; !text.empty();) {
    const std::string_view word = text.substr(0, first_word(text));
    text.remove_prefix(word.size());
    const bool cached = word.size() <= WordCache::kLongestWord && is_small(total);
    const uint64_t hash = cached ? WordCache::hash(word) : 0;
    if (cached) {
      if (const auto ids = cache.find(word, hash); !ids.empty()) {
        out.insert(out.end(), ids.begin(), ids.end());
        for (const TokenId id : ids) {
          total = static_cast<Score>(static_cast<double>(total) +
                                     read_scores_[static_cast<size_t>(id)]);
        }
        continue;
      }
    }
    const size_t before = out.size();
    const Spelling<Score> spelling = append_best_path(word, total, out);
    total = spelling.total;
    if (cached && spelling.steady) cache.store(word, hash, std::span(out).subspan(before));
  }
}

template <class Score>
Unigram::Spelling<Score> Unigram::append_best_path(std::string_view word, Score total,
                                                   std::vector<TokenId>& out) const {
  constexpr size_t kShort = 64;
  if (word.size() >= kShort) {
    std::vector<BestPath<Score>> best(word.size() + 1);
    return append_best_path(word, total, std::span(best), out);
  }
  std::array<BestPath<Score>, kShort> best;
  std::fill_n(best.begin(), word.size() + 1, BestPath<Score>());
  return append_best_path(word, total, std::span(best).first(word.size() + 1), out);
}

template <class Score>
Unigram::Spelling<Score> Unigram::append_best_path(std::string_view word, Score total,
                                                   std::span<BestPath<Score>> best,
                                                   std::vector<TokenId>& out) const {
  constexpr Score kNone = -std::numeric_limits<Score>::infinity();
  best[0].score = total;
  for (size_t at = 0; at < word.size();) {
    const size_t character = decode_utf8(word, at).length;
    const double here = static_cast<double>(best[at].score);
    const auto offer = [&](size_t length, TokenId id, double token_score) {
      const Score score = static_cast<Score>(here + token_score);
      BestPath<Score>& path = best[at + length];
      if (path.length == 0 || score > path.score) {
        path = {score, path.length == 0 ? kNone : path.score, id, static_cast<uint32_t>(length)};
      } else {
        path.second = std::max(path.second, score);
      }
    };
    bool spelled = false;
    trie_.for_each_prefix(word.substr(at), [&](size_t length, TokenId id) {
      offer(length, id, read_scores_[static_cast<size_t>(id)]);
      spelled = spelled || length == character;
    });
    if (!spelled) offer(character, -1, unknown_score_);
    at += character;
  }
  Spelling<Score> result{best[word.size()].score, true};
  // Walk back, then turn round; neighbouring unknown characters become one stretch.
  const size_t first = out.size();
  bool known = true;
  for (size_t end = word.size(); end > 0 && known; end -= best[end].length) {
    const BestPath<Score>& path = best[end];
    known = path.id >= 0;
    // Any other spelling ends for good in this one's track at some byte, behind another token.
    if (!(path.score - path.second > static_cast<Score>(kClear))) result.steady = false;
    if (known) out.push_back(path.id);
  }
  if (known) {
    std::reverse(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
    return result;
  }
  out.resize(first);
  result.steady = false;
  std::vector<size_t> ends;
  for (size_t end = word.size(); end > 0; end -= best[end].length) ends.push_back(end);
  for (size_t i = ends.size(); i-- > 0;) {
    const BestPath<Score>& path = best[ends[i]];
    if (path.id >= 0) {
      out.push_back(path.id);
      continue;
    }
    const size_t begin = ends[i] - path.length;
    while (i > 0 && best[ends[i - 1]].id < 0) --i;
    append_unknown(word.substr(begin, ends[i] - begin), out);
  }
  return result;
}

void Unigram::append_unknown(std::string_view text, std::vector<TokenId>& out) const {
  const auto byte_token = [&](char c) { return byte_tokens_[static_cast<uint8_t>(c)]; };
  if (settings_.byte_fallback &&
      std::all_of(text.begin(), text.end(), [&](char c) { return byte_token(c) >= 0; })) {
    for (const char c : text) out.push_back(byte_token(c));
  } else if (settings_.unk) {
    out.push_back(*settings_.unk);
  }
}

void Unigram::write_json(std::string& out) const {
  out += "\"vocab\": [";
  for (TokenId id = 0; id < vocabulary().size(); ++id) {
    out += id == 0 ? "\n" : ",\n";
    out += dump_json(Json::array({vocabulary().token(id), scores_[static_cast<size_t>(id)]}));
  }
  out += "]";
}

}  // namespace alambic
