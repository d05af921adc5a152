#include "alambic/nn/self_attention.h"

#include "alambic/base/error.h"

namespace alambic {

void attention_groups(const Forward& forward, std::vector<AttentionGroup>& groups) {
  groups.resize(forward.groups.size());
  int64_t begin = 0;
  for (size_t i = 0; i < groups.size(); ++i) {
    const RowGroup& row_group = forward.groups[i];
    AttentionGroup& group = groups[i];
    group.begin = begin;
    group.rows = row_group.rows;
    group.causal = row_group.causal;
    group.position = row_group.position;
    group.cached = {};
    group.sees.clear();
    for (const Sight& sight : row_group.sees) {
      const AttentionGroup& seen = groups[static_cast<size_t>(sight.group)];
      ALAMBIC_CHECK(sight.rows <= seen.rows);
      if (sight.rows > 0) group.sees.push_back({seen.begin, sight.rows, seen.position});
    }
    begin += row_group.rows;
  }
}

Tensor SelfAttention::operator()(const Tensor& x, const AttentionShape& shape, float eps,
                                 const RopeAngles& angles, const Forward& forward,
                                 std::vector<AttentionGroup>& groups, int layer) const {
  const LinearWeights weights[] = {query.weights(), key.weights(), value.weights()};
  Tensor qkv = norm_linear(x, norm.norm(eps), weights, forward.precision);
  if (query_norm.weight.value.defined()) {
    const HeadNorm norms[] = {{shape.heads, query_norm.norm(eps)},
                              {shape.kv_heads, key_norm.norm(eps)}};
    qkv = norm_heads(qkv, norms);
  }
  if (angles.cosine.defined())
    qkv = rope(qkv, shape.heads + shape.kv_heads, shape.head_dim, angles);
  // As a cache keeps them, so that nobody can tell where a key came from.
  if (forward.precision == Precision::kBf16) qkv = round_to_bf16(qkv, shape.query_width());
  // Stage first: growing a cache moves what keys() points at.
  int64_t begin = 0;
  for (const RowGroup& group : forward.groups) {
    if (group.cache != nullptr && group.causal) {
      const float* keys = qkv.row(begin) + shape.query_width();
      group.cache->stage(layer, keys, keys + shape.key_width(), shape.width(), group.rows);
    }
    begin += group.rows;
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    const KvCache* cache = forward.groups[i].cache;
    if (cache != nullptr) groups[i].cached = cache->keys(layer);
  }
  return linear(attention(qkv, shape, groups), output.weights(), forward.precision);
}

void SelfAttention::visit(const ParameterVisitor& visitor) {
  norm.visit(visitor);
  for (Linear* part : {&query, &key, &value}) part->visit(visitor);
  query_norm.visit(visitor);
  key_norm.visit(visitor);
  output.visit(visitor);
}

void row_positions(const Forward& forward, std::vector<int64_t>& positions) {
  positions.clear();
  for (const RowGroup& group : forward.groups) {
    for (int r = 0; r < group.rows; ++r) positions.push_back(group.position + r);
  }
}

int row_count(const Forward& forward) {
  int rows = 0;
  for (const RowGroup& group : forward.groups) rows += group.rows;
  return rows;
}

}  // namespace alambic
