#include "alambic/text/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <queue>

#include "alambic/base/error.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

constexpr size_t kCacheSlots = 1 << 15;
constexpr uint64_t kHashFactor = 0x9e3779b97f4a7c15ULL;
// Up to here scanning all pairs for the best one beats a heap.
constexpr size_t kShortWord = 24;
constexpr size_t kLongestPiece = 1 << 30;

}  // namespace

uint64_t WordCache::hash(std::string_view word) {
  uint64_t state = word.size() * kHashFactor;
  const auto mix = [&](uint64_t block) {
    state = (state ^ block) * kHashFactor;
    state ^= state >> 32;
  };
  while (word.size() >= 8) {
    uint64_t block;
    std::memcpy(&block, word.data(), 8);
    mix(block);
    word.remove_prefix(8);
  }
  uint64_t rest = 0;
  std::memcpy(&rest, word.data(), word.size());
  mix(rest);
  return state;
}

std::span<const TokenId> WordCache::find(std::string_view word, uint64_t hash) const {
  if (slots_.empty()) return {};
  const Slot& slot = slots_[hash % kCacheSlots];
  if (slot.hash != hash || std::string_view(slot.word, slot.length) != word) return {};
  return {slot.ids, slot.count};
}

void WordCache::store(std::string_view word, uint64_t hash, std::span<const TokenId> ids) {
  if (ids.empty() || ids.size() > kMostIds || word.size() > kLongestWord) return;
  if (slots_.empty()) slots_.resize(kCacheSlots);
  Slot& slot = slots_[hash % kCacheSlots];
  slot.hash = hash;
  slot.length = static_cast<uint8_t>(word.size());
  slot.count = static_cast<uint8_t>(ids.size());
  std::copy(word.begin(), word.end(), slot.word);
  std::copy(ids.begin(), ids.end(), slot.ids);
}

Bpe::Bpe(BpeSettings settings, BpeVocabulary&& vocabulary, std::string_view where)
    : settings_(std::move(settings)) {
  // Gaps in the numbering exist in honest files, but small ones.
  const size_t limit = 2 * vocabulary.tokens.size() + (1 << 16);
  size_t size = 0;
  for (const auto& [token, id] : vocabulary.tokens) {
    if (id < 0 || static_cast<size_t>(id) >= limit) {
      fail(ErrorCode::kCorruptData, "[{}] id of token \"{}\"; got {}, want 0 to {}", where, token,
           id, limit - 1);
    }
    size = std::max(size, static_cast<size_t>(id) + 1);
  }
  tokens_.resize(size);
  present_.resize(size);
  ids_.reserve(vocabulary.tokens.size());
  for (auto& [token, id] : vocabulary.tokens) {
    const size_t at = static_cast<size_t>(id);
    if (present_[at]) {
      fail(ErrorCode::kCorruptData, "[{}] tokens \"{}\" and \"{}\" share the id {}", where,
           tokens_[at], token, id);
    }
    tokens_[at] = std::move(token);
    present_[at] = true;
  }
  for (size_t i = 0; i < size; ++i) {
    if (present_[i]) ids_.emplace(tokens_[i], static_cast<TokenId>(i));
  }

  if (settings_.unk_token) {
    unk_ = find(*settings_.unk_token);
    if (!unk_) {
      fail(ErrorCode::kCorruptData, "[{}] unk_token \"{}\" is not in the vocabulary", where,
           *settings_.unk_token);
    }
  }
  merges_.resize(std::bit_ceil(2 * vocabulary.merges.size() + 2));
  std::string joined;
  uint32_t rank = 0;
  for (const auto& [left, right] : vocabulary.merges) {
    joined.assign(left).append(right);
    const auto a = find(left), b = find(right), result = find(joined);
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

  byte_symbols_.reserve(256);
  for (int byte = 0; byte < 256; ++byte) {
    std::string name;
    append_utf8(name, byte_to_char(static_cast<uint8_t>(byte)));
    if (const auto id = find(name)) byte_symbols_.push_back(*id);
    fallback_bytes_.push_back(find(fmt::format("<0x{:02X}>", byte)).value_or(-1));
  }
  if (byte_symbols_.size() < 256) byte_symbols_.clear();
}

bool Bpe::contains(TokenId id) const {
  return id >= 0 && static_cast<size_t>(id) < present_.size() && present_[static_cast<size_t>(id)];
}

std::optional<TokenId> Bpe::find(std::string_view token) const {
  const auto it = ids_.find(token);
  if (it == ids_.end()) return std::nullopt;
  return it->second;
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
  if (piece.size() > kLongestPiece) {
    fail(ErrorCode::kResourceExhausted, "[tokenizer] piece of text too long; got {} bytes, want {}",
         piece.size(), kLongestPiece);
  }
  if (!byte_level) return first_symbols_of_text(piece, out);
  if (byte_symbols_.empty()) return first_symbols_of_text(bytes_to_chars(piece), out);
  for (const char c : piece) out.push_back(byte_symbols_[static_cast<uint8_t>(c)]);
}

void Bpe::first_symbols_of_text(std::string_view text, std::vector<TokenId>& out) const {
  bool pending_unk = false;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    const std::string_view symbol = text.substr(at, step.length);
    at += step.length;
    if (const auto id = find(symbol)) {
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

void Bpe::encode(std::string_view piece, bool byte_level, WordCache& cache,
                 std::vector<TokenId>& out) const {
  const bool cached = piece.size() <= WordCache::kLongestWord;
  const uint64_t hash = cached ? WordCache::hash(piece) : 0;
  if (cached) {
    if (const auto ids = cache.find(piece, hash); !ids.empty()) {
      out.insert(out.end(), ids.begin(), ids.end());
      return;
    }
  }
  std::vector<TokenId> symbols;
  const auto whole = !settings_.ignore_merges ? std::nullopt
                     : byte_level             ? find(bytes_to_chars(piece))
                                              : find(piece);
  if (whole) {
    symbols.push_back(*whole);
  } else {
    first_symbols(piece, byte_level, symbols);
    symbols.size() <= kShortWord ? merge_short(symbols) : merge_long(symbols, 0, nullptr);
  }
  if (cached) cache.store(piece, hash, symbols);
  out.insert(out.end(), symbols.begin(), symbols.end());
}

void Bpe::encode_with_dropout(std::string_view piece, bool byte_level, double dropout, Rng& rng,
                              std::vector<TokenId>& out) const {
  std::vector<TokenId> symbols;
  first_symbols(piece, byte_level, symbols);
  merge_long(symbols, dropout, &rng);
  out.insert(out.end(), symbols.begin(), symbols.end());
}

}  // namespace alambic
