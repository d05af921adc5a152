#include "alambic/text/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <queue>

#include "alambic/base/error.h"
#include "alambic/base/json.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

// Up to here scanning all pairs for the best one beats a heap.
constexpr size_t kShortWord = 24;

}  // namespace

Bpe::Bpe(BpeSettings settings, std::vector<NamedToken>&& tokens, std::span<const NamedMerge> merges,
         std::string_view where)
    : TokenModel(std::move(tokens), Vocabulary::Repeats::kRefused, where),
      settings_(std::move(settings)),
      affixes_(!settings_.continuing_prefix.empty() || !settings_.end_suffix.empty()) {
  if (settings_.unk_token) {
    unk_ = vocabulary().find(*settings_.unk_token);
    if (!unk_) {
      fail(ErrorCode::kCorruptData, "[{}] unk_token \"{}\" is not in the vocabulary", where,
           *settings_.unk_token);
    }
  }
  add_merges(merges, where);

  byte_symbols_.reserve(256);
  for (int byte = 0; byte < 256; ++byte) {
    std::string name;
    append_utf8(name, byte_to_char(static_cast<uint8_t>(byte)));
    if (const auto id = vocabulary().find(name)) byte_symbols_.push_back(*id);
  }
  if (byte_symbols_.size() < 256 || affixes_) byte_symbols_.clear();
  fallback_bytes_ = vocabulary().byte_tokens();
  if (!affixes_ && !settings_.ignore_merges) cut_at_marks();
}

void Bpe::add_merges(std::span<const NamedMerge> merges, std::string_view where) {
  merges_.resize(std::bit_ceil(2 * merges.size() + 2));
  std::string joined;
  uint32_t rank = 0;
  for (const auto& [left, right] : merges) {
    // The right part loses its mark of not beginning a word.
    const size_t mark = std::min(settings_.continuing_prefix.size(), right.size());
    joined.assign(left).append(right, mark);
    const auto a = vocabulary().find(left), b = vocabulary().find(right);
    const auto result = vocabulary().find(joined);
    if (!a || !b || !result) {
      fail(ErrorCode::kCorruptData,
           "[{}] merge {} of \"{}\" and \"{}\": \"{}\" is not in the vocabulary", where, rank, left,
           right,
           !a   ? left
           : !b ? right
                : joined);
    }
    add_merge(pair_key(*a, *b), rank++, *result);
  }
}

void Bpe::add_merge(uint64_t pair, uint32_t rank, TokenId result) {
  const size_t mask = merges_.size() - 1;
  size_t at = pair_hash(pair) & mask;
  while (merges_[at].pair != kNoPair && merges_[at].pair != pair) at = (at + 1) & mask;
  merges_[at] = {pair, rank, result};
}

const Bpe::Merge* Bpe::find_merge(TokenId left, TokenId right) const {
  const uint64_t pair = pair_key(left, right);
  const size_t mask = merges_.size() - 1;
  for (size_t at = pair_hash(pair) & mask;; at = (at + 1) & mask) {
    if (merges_[at].pair == pair) return &merges_[at];
    if (merges_[at].pair == kNoPair) return nullptr;
  }
}

std::vector<std::pair<TokenId, TokenId>> Bpe::merges() const {
  std::vector<const Merge*> sorted;
  for (const Merge& merge : merges_) {
    if (merge.pair != kNoPair) sorted.push_back(&merge);
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const Merge* a, const Merge* b) { return a->rank < b->rank; });
  std::vector<std::pair<TokenId, TokenId>> out;
  out.reserve(sorted.size());
  for (const Merge* merge : sorted) {
    out.emplace_back(static_cast<TokenId>(merge->pair >> 32), static_cast<TokenId>(merge->pair));
  }
  return out;
}

void Bpe::first_symbols(std::string_view piece, bool byte_level, std::vector<TokenId>& out) const {
  if (!byte_level) return first_symbols_of_text(piece, out);
  if (byte_symbols_.empty()) return first_symbols_of_text(bytes_to_chars(piece), out);
  for (const char c : piece) out.push_back(byte_symbols_[static_cast<uint8_t>(c)]);
}

std::optional<TokenId> Bpe::find_symbol(std::string_view symbol, bool first, bool last) const {
  if (!affixes_) return vocabulary().find(symbol);
  std::string dressed = first ? std::string() : settings_.continuing_prefix;
  dressed += symbol;
  if (last) dressed += settings_.end_suffix;
  return vocabulary().find(dressed);
}

void Bpe::first_symbols_of_text(std::string_view text, std::vector<TokenId>& out) const {
  bool pending_unk = false;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    const std::string_view symbol = text.substr(at, step.length);
    const bool first = at == 0;
    at += step.length;
    if (const auto id = find_symbol(symbol, first, at == text.size())) {
      if (std::exchange(pending_unk, false)) out.push_back(*unk_);
      out.push_back(*id);
      continue;
    }
    if (settings_.byte_fallback) {
      const auto fallback = [&](char c) { return fallback_bytes_[static_cast<uint8_t>(c)]; };
      if (std::all_of(symbol.begin(), symbol.end(), [&](char c) { return fallback(c) >= 0; })) {
        // A pending unknown stays pending behind these bytes: so the reference implementation has
        // it.
        for (const char c : symbol) out.push_back(fallback(c));
        continue;
      }
    }
    if (!unk_) continue;  // without an unknown token, unknown text leaves no trace
    if (pending_unk && !settings_.fuse_unk) out.push_back(*unk_);
    pending_unk = true;
  }
  if (pending_unk) out.push_back(*unk_);
}

void Bpe::merge_short(std::vector<TokenId>& symbols) const {
  constexpr uint32_t kNever = std::numeric_limits<uint32_t>::max();
  uint32_t ranks[kShortWord];
  TokenId results[kShortWord];
  size_t count = symbols.size();
  const auto look_up = [&](size_t i) {
    const Merge* merge = find_merge(symbols[i], symbols[i + 1]);
    ranks[i] = merge != nullptr ? merge->rank : kNever;
    results[i] = merge != nullptr ? merge->result : 0;
  };
  for (size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    const size_t best = static_cast<size_t>(std::min_element(ranks, ranks + count - 1) - ranks);
    if (ranks[best] == kNever) break;
    symbols[best] = results[best];
    // Symbols to the right close the gap, and their pairs with them.
    for (size_t i = best + 1; i + 1 < count; ++i) symbols[i] = symbols[i + 1];
    for (size_t i = best + 1; i + 2 < count; ++i) {
      ranks[i] = ranks[i + 1];
      results[i] = results[i + 1];
    }
    --count;
    if (best > 0) look_up(best - 1);
    if (best + 1 < count) look_up(best);
  }
  symbols.resize(count);
}

void Bpe::merge_long(std::vector<TokenId>& ids, double dropout, Rng* rng) const {
  const auto worse = [](const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.at > b.at;
  };
  std::vector<Symbol> symbols(ids.size());
  std::vector<Candidate> initial;
  initial.reserve(ids.size());
  const auto candidate = [&](int32_t at, auto&& add) {
    const Symbol& left = symbols[static_cast<size_t>(at)];
    if (left.next < 0) return;
    const Merge* merge = find_merge(left.id, symbols[static_cast<size_t>(left.next)].id);
    if (merge != nullptr) add(Candidate{merge->rank, at, merge->result});
  };
  const int32_t count = static_cast<int32_t>(ids.size());
  for (int32_t i = 0; i < count; ++i) {
    symbols[static_cast<size_t>(i)] = {ids[static_cast<size_t>(i)], i - 1,
                                       i + 1 < count ? i + 1 : -1};
  }
  for (int32_t i = 0; i < count; ++i) {
    candidate(i, [&](const Candidate& c) { initial.push_back(c); });
  }
  std::priority_queue<Candidate, std::vector<Candidate>, decltype(worse)> queue(worse,
                                                                                std::move(initial));
  std::vector<Candidate> skipped;
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    if (dropout > 0 && rng->uniform() < dropout) {
      skipped.push_back(top);
      continue;
    }
    // What was skipped may be tried again after the next merge.
    for (const Candidate& candidate_again : skipped) queue.push(candidate_again);
    skipped.clear();

    Symbol& left = symbols[static_cast<size_t>(top.at)];
    if (left.id < 0 || left.next < 0) continue;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    const Merge* merge = find_merge(left.id, right.id);
    // One of the two has changed since this candidate was queued.
    if (merge == nullptr || merge->result != top.result) continue;
    left.id = top.result;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[static_cast<size_t>(left.next)].previous = top.at;
    const auto push = [&](const Candidate& c) { queue.push(c); };
    if (left.previous >= 0) candidate(left.previous, push);
    candidate(top.at, push);
  }
  ids.clear();
  for (const Symbol& symbol : symbols) {
    if (symbol.id >= 0) ids.push_back(symbol.id);
  }
}

void Bpe::encode_afresh(std::string_view piece, bool byte_level, std::vector<TokenId>& out) const {
  if (settings_.ignore_merges) {
    if (const auto whole = vocabulary().find(byte_level ? bytes_to_chars(piece) : piece)) {
      out.push_back(*whole);
      return;
    }
  }
  first_symbols(piece, byte_level, out);
  out.size() <= kShortWord ? merge_short(out) : merge_long(out, 0, nullptr);
}

void Bpe::encode_with_dropout(std::string_view piece, bool byte_level, double dropout, Rng& rng,
                              std::vector<TokenId>& out) const {
  std::vector<TokenId> symbols;
  first_symbols(piece, byte_level, symbols);
  merge_long(symbols, dropout, &rng);
  out.insert(out.end(), symbols.begin(), symbols.end());
}

std::string_view Bpe::bare(TokenId id) const {
  std::string_view text = vocabulary().token(id);
  if (text.starts_with(settings_.continuing_prefix))
    text.remove_prefix(settings_.continuing_prefix.size());
  if (text.ends_with(settings_.end_suffix)) text.remove_suffix(settings_.end_suffix.size());
  return text;
}

void Bpe::write_json(std::string& out) const {
  write_vocabulary(out);
  // Older readers know only "left right", which cannot say where a token with a space ends.
  bool spaces = false;
  for (TokenId id = 0; id < vocabulary().size() && !spaces; ++id) {
    spaces = vocabulary().token(id).find(' ') != std::string::npos;
  }
  out += ",\n\"merges\": [";
  bool first = true;
  for (const auto& [left, right] : merges()) {
    const Json a = vocabulary().token(left), b = vocabulary().token(right);
    out += std::exchange(first, false) ? "\n" : ",\n";
    out += dump_json(spaces ? Json::array({a, b})
                            : Json(a.get<std::string>() + " " + b.get<std::string>()));
  }
  out += "]";
}

}  // namespace alambic
