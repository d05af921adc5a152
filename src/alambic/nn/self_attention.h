// Grouped-query self-attention (Ainslie et al. 2023) with rotary positions, ALiBi or none of its
// own. The only place that reads or fills a KvCache.
#pragma once

#include "alambic/autograd/ops.h"
#include "alambic/nn/forward.h"
#include "alambic/nn/linear.h"

namespace alambic {

struct SelfAttention {
  NormLayer norm;
  Linear query, key, value,
      output;  // [heads * head_dim | kv_heads * head_dim, dim]; output: [dim, heads * head_dim]
  NormLayer query_norm = {}, key_norm = {};  // [head_dim], of each head

  // x: [rows, dim], which the block norms itself -> [rows, dim]. Angles without pairs rotate
  // nothing. `groups` are the forward's, from attention_groups(); what their caches hold is filled
  // in here.
  Tensor operator()(const Tensor& x, const AttentionShape& shape, float eps,
                    const RopeAngles& angles, const Forward& forward,
                    std::vector<AttentionGroup>& groups, int layer) const;
  void visit(const ParameterVisitor& visitor);
};

// `groups` keep their memory from one forward to the next.
void attention_groups(const Forward& forward, std::vector<AttentionGroup>& groups);

// Positions of all rows of a forward, group after group.
void row_positions(const Forward& forward, std::vector<int64_t>& positions);
int row_count(const Forward& forward);

}  // namespace alambic
