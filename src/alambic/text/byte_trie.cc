#include "alambic/text/byte_trie.h"

#include <algorithm>

namespace alambic {

ByteTrie::ByteTrie(std::vector<std::pair<std::string_view, TokenId>> entries) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  // Entries [begin, end) share their first `depth` bytes, which lead to `node`.
  struct Stretch {
    uint32_t node;
    size_t begin, end, depth;
  };
  nodes_.push_back({});
  std::vector<Stretch> open{{0, 0, entries.size(), 0}};
  for (size_t next = 0; next < open.size(); ++next) {
    auto [node, begin, end, depth] = open[next];  // a copy: `open` grows below
    const size_t here = begin;
    while (begin < end && entries[begin].first.size() == depth) ++begin;
    if (begin > here && depth > 0) nodes_[node].id = entries[here].second;
    nodes_[node].first_edge = static_cast<uint32_t>(edges_.size());
    while (begin < end) {
      const auto label = static_cast<uint8_t>(entries[begin].first[depth]);
      size_t stop = begin + 1;
      while (stop < end && static_cast<uint8_t>(entries[stop].first[depth]) == label) ++stop;
      const auto target = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back({});
      edges_.push_back({label, target});
      ++nodes_[node].edges;
      open.push_back({target, begin, stop, depth + 1});
      begin = stop;
    }
  }
  roots_.fill(kNone);
  for (int byte = 0; byte < 256; ++byte) {
    roots_[static_cast<size_t>(byte)] = child(nodes_[0], static_cast<uint8_t>(byte));
  }
}

}  // namespace alambic
