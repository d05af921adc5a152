// Attention over row groups: the one mask language. No mask matrix exists; the kernel walks
// segments of keys.
//
// The rows of one forward are cut into consecutive groups. A row of a group sees, in this order:
// the rows that the group's cache already holds, the rows of earlier groups that it lists, and its
// own group, causally or whole. Keys are visited in that order with one summation chain each, so a
// row's result does not depend on which other rows are computed with it, nor on whether a key came
// from the cache or from the same forward. Scores of a block of query rows are kept, never a whole
// [rows, rows] matrix (Dao 2023 recomputes them likewise in the backward pass from the saved row
// statistics).
#pragma once

#include <vector>

#include "alambic/autograd/graph.h"

namespace alambic {

struct KeyRange {
  int64_t begin, rows;  // rows of this forward
};

// Keys and values of earlier forwards, post-rotation. Read only; owned by a decoding session.
struct CachedKeys {
  const float* keys = nullptr;    // [kv_heads, head_dim, stride]: a key is a column
  const float* values = nullptr;  // [rows, kv_heads * head_dim]
  int64_t stride = 0;
  int64_t rows = 0;
};

struct AttentionGroup {
  int64_t begin, rows;
  bool causal;
  std::vector<KeyRange> sees;  // ranges before `begin`
  CachedKeys cached;
};

struct AttentionShape {
  int heads, kv_heads, head_dim;
};

// softmax(q kᵀ / sqrt(head_dim)) v per head; query head h reads key head h / (heads / kv_heads).
// q: [rows, heads * head_dim], k, v: [rows, kv_heads * head_dim] -> [rows, heads * head_dim]
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionShape& shape,
                 std::vector<AttentionGroup> groups);

}  // namespace alambic
