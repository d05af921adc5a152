// Attention over row groups: the one mask language. No mask matrix exists; the kernel walks
// segments of keys.
//
// The rows of one forward are cut into consecutive groups. A row of a group sees, in this order:
// the rows that the group's cache already holds, the rows of earlier groups that it lists, and its
// own group, causally or whole. Keys are visited in that order with one summation chain each, in
// blocks that begin at fixed places of the order, so a row's result does not depend on which other
// rows are computed with it, nor on whether a key came from the cache or from the same forward.
// Scores exist for a block of query rows and a block of keys, under a running maximum; the backward
// pass recomputes them from the saved row statistics (Dao 2023). The heads that share a key head
// meet a block of keys together.
#pragma once

#include <span>
#include <vector>

#include "alambic/autograd/graph.h"
#include "alambic/kernels/table.h"

namespace alambic {

struct KeyRange {
  int64_t begin, rows;   // rows of this forward
  int64_t position = 0;  // of the first one
};

// Keys and values of earlier forwards, post-rotation, from position 0 on. Read only; owned by a
// decoding session.
struct CachedKeys {
  const std::byte* keys = nullptr;    // [kv_heads, head_dim, stride]: a key is a column
  const std::byte* values = nullptr;  // [rows, kv_heads * head_dim]
  kernels::Element element = kernels::Element::kF32;
  int64_t stride = 0;
  int64_t rows = 0;
};

struct AttentionGroup {
  int64_t begin, rows;
  bool causal;
  std::vector<KeyRange> sees;  // ranges before `begin`
  CachedKeys cached;
  int64_t position = 0;  // of the first row
};

struct AttentionShape {
  int heads, kv_heads, head_dim;
  // Positions matter to the scores themselves only where one of these is set.
  int window = 0;      // keys that lie so many positions behind a query are out of sight; 0: none
  bool alibi = false;  // each head's slope times the distance is taken off (arXiv 2108.12409)
  int64_t query_width() const { return int64_t{heads} * head_dim; }
  int64_t key_width() const { return int64_t{kv_heads} * head_dim; }
  int64_t width() const { return query_width() + 2 * key_width(); }
};

// softmax(q kᵀ / sqrt(head_dim)) v per head; query head h reads key head h / (heads / kv_heads).
// qkv: [rows, (heads + 2 kv_heads) * head_dim], queries, keys and values of a row side by side
// -> [rows, heads * head_dim]
Tensor attention(const Tensor& qkv, const AttentionShape& shape,
                 std::span<const AttentionGroup> groups);

}  // namespace alambic
