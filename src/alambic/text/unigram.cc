#include "alambic/text/unigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/base/json.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

// How much worse than the worst token an unknown character is.
constexpr double kUnknownPenalty = 10;

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
                 std::string_view where)
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
  }
}

void Unigram::encode_afresh(std::string_view piece, bool byte_level,
                            std::vector<TokenId>& out) const {
  const std::string chars = byte_level ? bytes_to_chars(piece) : std::string();
  const std::string_view text = byte_level ? chars : piece;
  settings_.single_precision ? append_best_path<float>(text, out)
                             : append_best_path<double>(text, out);
}

template <class Score>
void Unigram::append_best_path(std::string_view text, std::vector<TokenId>& out) const {
  std::vector<BestPath<Score>> best(text.size() + 1);
  for (size_t at = 0; at < text.size();) {
    const size_t character = decode_utf8(text, at).length;
    const double here = static_cast<double>(best[at].score);
    const auto offer = [&](size_t length, TokenId id, double token_score) {
      const Score score = static_cast<Score>(here + token_score);
      BestPath<Score>& path = best[at + length];
      if (path.length == 0 || score > path.score) {
        path = {score, id, static_cast<uint32_t>(length)};
      }
    };
    bool spelled = false;
    trie_.for_each_prefix(text.substr(at), [&](size_t length, TokenId id) {
      offer(length, id, read_scores_[static_cast<size_t>(id)]);
      spelled = spelled || length == character;
    });
    if (!spelled) offer(character, -1, unknown_score_);
    at += character;
  }
  // Walk back, then turn round; neighbouring unknown characters become one stretch.
  std::vector<std::pair<size_t, size_t>> stretches;  // end, length
  std::vector<TokenId> ids;
  for (size_t end = text.size(); end > 0;) {
    const BestPath<Score>& path = best[end];
    if (path.id < 0 && !ids.empty() && ids.back() < 0) {
      stretches.back().second += path.length;
    } else {
      ids.push_back(path.id);
      stretches.emplace_back(end, path.length);
    }
    end -= path.length;
  }
  for (size_t i = ids.size(); i-- > 0;) {
    if (ids[i] >= 0) {
      out.push_back(ids[i]);
    } else {
      const auto [end, length] = stretches[i];
      append_unknown(text.substr(end - length, length), out);
    }
  }
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
