#include "alambic/decode/closed_sets.h"

#include <fmt/format.h>

#include <algorithm>

namespace alambic {

size_t ClosedSets::index_of(const Example& example, std::span<const TokenId> prompt) {
  constexpr size_t kTail = 16;
  std::string end;
  for (const TokenId id : prompt.last(std::min(prompt.size(), kTail)))
    end += fmt::format("{} ", id);
  const size_t spaces = example.prompt.find_last_not_of(" \t") + 1;
  end += example.prompt.substr(std::min(spaces, example.prompt.size()));
  if (const auto known = by_end_.find(end); known != by_end_.end()) return known->second;
  std::vector<std::vector<TokenId>> members;
  members.reserve(labels_.size());
  for (const std::string& label : labels_) members.push_back(encoder_.choice(example, label));
  const auto [same, fresh] = by_members_.emplace(members, sets_.size());
  if (fresh) sets_.emplace_back(std::move(members));
  by_end_.emplace(std::move(end), same->second);
  return same->second;
}

size_t ClosedSets::label_of(size_t index, std::span<const TokenId> tokens) const {
  const auto& members = sets_[index].members();
  const auto found = std::find_if(members.begin(), members.end(), [&](const auto& member) {
    return std::equal(member.begin(), member.end(), tokens.begin(), tokens.end());
  });
  return static_cast<size_t>(found - members.begin());
}

}  // namespace alambic
