#include "alambic/decode/token_trie.h"

#include <algorithm>

#include "alambic/base/error.h"

namespace alambic {

TokenTrie::TokenTrie(std::vector<std::vector<TokenId>> members)
    : members_(std::move(members)), nodes_(1) {
  if (members_.empty()) fail(ErrorCode::kInvalidArgument, "[choices] the closed set is empty");
  for (size_t i = 0; i < members_.size(); ++i) {
    const std::vector<TokenId>& tokens = members_[i];
    if (tokens.empty()) fail(ErrorCode::kInvalidArgument, "[choices] choice {} has no tokens", i);
    int node = kRoot;
    for (const TokenId token : tokens) {
      if (token < 0)
        fail(ErrorCode::kInvalidArgument, "[choices] choice {} holds id {}; want 0 or more", i,
             token);
      const int known = child(node, token);
      node = known != kNone ? known : add_child(node, token);
    }
    int& end = nodes_[static_cast<size_t>(node)].member;
    if (end != kNone) {
      fail(ErrorCode::kInvalidArgument, "[choices] choices {} and {} are the same tokens", end, i);
    }
    end = static_cast<int>(i);
    longest_ = std::max(longest_, tokens.size());
  }
  has_prefix_member_ = std::any_of(nodes_.begin(), nodes_.end(), [](const Node& n) {
    return n.member != kNone && !n.tokens.empty();
  });
}

int TokenTrie::child(int node, TokenId token) const {
  const Node& n = at(node);
  const auto it = std::lower_bound(n.tokens.begin(), n.tokens.end(), token);
  if (it == n.tokens.end() || *it != token) return kNone;
  return n.children[static_cast<size_t>(it - n.tokens.begin())];
}

int TokenTrie::add_child(int node, TokenId token) {
  const auto created = static_cast<int>(nodes_.size());
  nodes_.emplace_back();
  Node& n = nodes_[static_cast<size_t>(node)];
  const auto it = std::lower_bound(n.tokens.begin(), n.tokens.end(), token);
  n.children.insert(n.children.begin() + (it - n.tokens.begin()), created);
  n.tokens.insert(it, token);
  return created;
}

}  // namespace alambic
