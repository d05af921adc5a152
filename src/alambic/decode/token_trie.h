// A closed set of answers as token sequences, shared beginnings stored once: what a constrained
// decoder may write.
//
// Immutable after construction, so usable from any thread. Throws kInvalidArgument for an empty
// set, an empty sequence, a negative id or a sequence that stands in the set twice.
#pragma once

#include <span>
#include <vector>

#include "alambic/base/token.h"

namespace alambic {

class TokenTrie {
 public:
  static constexpr int kRoot = 0;
  static constexpr int kNone = -1;

  explicit TokenTrie(std::vector<std::vector<TokenId>> members);

  const std::vector<std::vector<TokenId>>& members() const { return members_; }
  size_t longest() const { return longest_; }
  size_t nodes() const { return nodes_.size(); }
  // Ids that may follow a node, ascending.
  std::span<const TokenId> next(int node) const { return at(node).tokens; }
  // The node that `token` leads to, or kNone.
  int child(int node, TokenId token) const;
  // The member that ends at this node, or kNone.
  int member(int node) const { return at(node).member; }
  bool leaf(int node) const { return at(node).tokens.empty(); }
  // True where a member is the beginning of another one: to end there must then be a choice of its
  // own.
  bool has_prefix_member() const { return has_prefix_member_; }

 private:
  struct Node {
    std::vector<TokenId> tokens;
    std::vector<int> children;  // beside tokens
    int member = kNone;
  };
  const Node& at(int node) const { return nodes_[static_cast<size_t>(node)]; }
  int add_child(int node, TokenId token);

  std::vector<std::vector<TokenId>> members_;
  std::vector<Node> nodes_;
  size_t longest_ = 0;
  bool has_prefix_member_ = false;
};

}  // namespace alambic
