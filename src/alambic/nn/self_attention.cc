#include "alambic/nn/self_attention.h"

#include "alambic/base/error.h"

namespace alambic {
namespace {

std::vector<AttentionGroup> attention_groups(const Forward& forward, int layer) {
  std::vector<AttentionGroup> groups;
  int64_t begin = 0;
  for (const RowGroup& row_group : forward.groups) {
    AttentionGroup group{begin, row_group.rows, row_group.causal, {}, {}};
    for (const Sight& sight : row_group.sees) {
      const AttentionGroup& seen = groups[static_cast<size_t>(sight.group)];
      ALAMBIC_CHECK(sight.rows <= seen.rows);
      if (sight.rows > 0) group.sees.push_back({seen.begin, sight.rows});
    }
    if (row_group.cache != nullptr) group.cached = row_group.cache->keys(layer);
    begin += row_group.rows;
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace

Tensor SelfAttention::operator()(const Tensor& x, const AttentionShape& shape,
                                 const RopeAngles& angles, const Forward& forward,
                                 int layer) const {
  const Tensor q = rope(linear(x, query.value, forward.precision), shape.heads, angles);
  const Tensor k = rope(linear(x, key.value, forward.precision), shape.kv_heads, angles);
  const Tensor v = linear(x, value.value, forward.precision);
  // Stage first: growing a cache moves what keys() points at.
  int64_t begin = 0;
  for (const RowGroup& group : forward.groups) {
    if (group.cache != nullptr && group.causal)
      group.cache->stage(layer, k.row(begin), v.row(begin), group.rows);
    begin += group.rows;
  }
  return linear(attention(q, k, v, shape, attention_groups(forward, layer)), output.value,
                forward.precision);
}

std::vector<int64_t> row_positions(const Forward& forward) {
  std::vector<int64_t> positions;
  for (const RowGroup& group : forward.groups) {
    for (int r = 0; r < group.rows; ++r) positions.push_back(group.position + r);
  }
  return positions;
}

int row_count(const Forward& forward) {
  int rows = 0;
  for (const RowGroup& group : forward.groups) rows += group.rows;
  return rows;
}

}  // namespace alambic
