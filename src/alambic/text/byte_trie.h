// Finds which of many byte strings a text starts with.
// Ownership: immutable after construction; keeps no reference to the strings. Thread safety: usable
// from several threads at once. Errors: none; of equal strings the first keeps its id.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "alambic/base/token.h"

namespace alambic {

class ByteTrie {
 public:
  explicit ByteTrie(std::vector<std::pair<std::string_view, TokenId>> entries);

  // Calls `sink(length, id)` for every non-empty entry that `text` starts with, shortest first.
  template <class Sink>
  void for_each_prefix(std::string_view text, Sink&& sink) const {
    if (text.empty()) return;
    uint32_t node = roots_[static_cast<uint8_t>(text[0])];
    for (size_t length = 1; node != kNone; ++length) {
      if (nodes_[node].id >= 0) sink(length, nodes_[node].id);
      if (length == text.size()) return;
      node = child(nodes_[node], static_cast<uint8_t>(text[length]));
    }
  }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  struct Node {
    uint32_t first_edge = 0;
    uint16_t edges = 0;
    TokenId id = -1;
  };
  struct Edge {
    uint8_t label;
    uint32_t node;
  };
  uint32_t child(const Node& node, uint8_t label) const {
    const Edge* edge = edges_.data() + node.first_edge;
    for (uint16_t i = 0; i < node.edges; ++i) {
      if (edge[i].label >= label) return edge[i].label == label ? edge[i].node : kNone;
    }
    return kNone;
  }

  std::array<uint32_t, 256> roots_;
  std::vector<Node> nodes_;
  std::vector<Edge> edges_;  // of one node together, by label
};

}  // namespace alambic
