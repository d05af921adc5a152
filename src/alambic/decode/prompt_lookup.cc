#include "alambic/decode/prompt_lookup.h"

#include <algorithm>

namespace alambic {

// A hash: a match is compared before it is used.
uint64_t PromptLookup::key(size_t end, int length) const {
  uint64_t key = 0;
  for (size_t i = end - static_cast<size_t>(length); i < end; ++i) {
    key = (key ^ static_cast<uint64_t>(tokens_[i])) * 0x9E3779B97F4A7C15ULL;
    key ^= key >> 29;
  }
  return key;
}

void PromptLookup::append(TokenId token) {
  // Only now is it known what follows the run that ended here.
  const size_t end = tokens_.size();
  for (int length = 1; length <= kLongest && static_cast<size_t>(length) <= end; ++length) {
    places_[static_cast<size_t>(length) - 1][key(end, length)] = end;
  }
  tokens_.push_back(token);
}

void PromptLookup::append(std::span<const TokenId> tokens) {
  for (const TokenId token : tokens) append(token);
}

PromptLookup::Match PromptLookup::find(size_t count) const {
  const size_t end = tokens_.size();
  for (int length = static_cast<int>(std::min<size_t>(kLongest, end)); length >= 1; --length) {
    const auto& places = places_[static_cast<size_t>(length) - 1];
    const auto place = places.find(key(end, length));
    if (place == places.end()) continue;
    const size_t begin = place->second;
    const auto run = [&](size_t last) {
      return std::span(tokens_).subspan(last - static_cast<size_t>(length),
                                        static_cast<size_t>(length));
    };
    if (!std::equal(run(begin).begin(), run(begin).end(), run(end).begin())) continue;
    return {std::span(tokens_).subspan(begin, std::min(count, end - begin)), length};
  }
  return {};
}

}  // namespace alambic
