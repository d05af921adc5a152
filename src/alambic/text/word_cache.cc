#include "alambic/text/word_cache.h"

#include <algorithm>
#include <cstring>

namespace alambic {
namespace {

constexpr size_t kCacheSlots = 1 << 15;
constexpr uint64_t kHashFactor = 0x9e3779b97f4a7c15ULL;

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
  for (const uint64_t place : {hash, hash ^ 1}) {
    const Slot& slot = slots_[place % kCacheSlots];
    if (slot.hash == hash && std::string_view(slot.word, slot.length) == word)
      return {slot.ids, slot.count};
  }
  return {};
}

void WordCache::store(std::string_view word, uint64_t hash, std::span<const TokenId> ids) {
  if (ids.empty() || ids.size() > kMostIds || word.size() > kLongestWord) return;
  if (slots_.empty()) slots_.resize(kCacheSlots);
  Slot& slot = slots_[hash % kCacheSlots];
  if (slot.count > 0) slots_[(hash ^ 1) % kCacheSlots] = slot;
  slot.hash = hash;
  slot.length = static_cast<uint8_t>(word.size());
  slot.count = static_cast<uint8_t>(ids.size());
  std::copy(word.begin(), word.end(), slot.word);
  std::copy(ids.begin(), ids.end(), slot.ids);
}

}  // namespace alambic
