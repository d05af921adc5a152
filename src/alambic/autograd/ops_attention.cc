#include "alambic/autograd/ops_attention.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "alambic/base/error.h"
#include "alambic/kernels/table.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

constexpr int kQueryBlock = 32;

// [heads, head_dim, stride] with a key per column; the stride is kept off powers of two, which
// would put all rows of a column block into one cache set.
struct Columns {
  Tensor data;
  int64_t stride;
  const float* at(int head, int dim, int64_t column) const {
    return data.data() + static_cast<int64_t>(head) * dim * stride + column;
  }
};

Columns columns_of(const Tensor& t, int heads, int dim) {
  const int64_t stride = (t.rows() + 15) / 16 * 16 + 16;
  Columns columns{Tensor::empty({heads, dim, stride}), stride};
  constexpr int64_t kRows = 64;
  const int64_t blocks = (t.rows() + kRows - 1) / kRows;
  parallel_for(blocks * heads, [&](int64_t task) {
    const int64_t row = task / heads * kRows;
    const auto head = static_cast<int>(task % heads);
    kernels::kernels().transpose(
        t.row(row) + head * dim, t.cols(), static_cast<int>(std::min(kRows, t.rows() - row)), dim,
        columns.data.data() + static_cast<int64_t>(head) * dim * stride + row, stride);
  });
  return columns;
}

// A run of keys as one query block meets it.
struct Segment {
  const float* keys;  // [head_dim, stride]
  int64_t key_stride;
  const float* values;  // [rows, value_stride]
  int64_t value_stride;
  int64_t rows;
  int64_t begin;  // first row in this forward, -1 in a cache
};

struct Problem {
  Tensor q, k, v;
  AttentionShape shape;
  std::vector<AttentionGroup> groups;
  Columns key_columns;
  int64_t q_stride() const { return int64_t{shape.heads} * shape.head_dim; }
  int64_t kv_stride() const { return int64_t{shape.kv_heads} * shape.head_dim; }
  int heads_per_kv() const { return shape.heads / shape.kv_heads; }
  float scale() const { return 1.0F / std::sqrt(static_cast<float>(shape.head_dim)); }

  // Segments for the query rows [0, last) of a group: everything before the group, then its own
  // rows.
  std::vector<Segment> segments(const AttentionGroup& group, int kv_head, int64_t last) const {
    std::vector<Segment> list;
    const int dim = shape.head_dim;
    if (group.cached.rows > 0) {
      list.push_back({group.cached.keys + int64_t{kv_head} * dim * group.cached.stride,
                      group.cached.stride, group.cached.values + kv_head * dim, kv_stride(),
                      group.cached.rows, -1});
    }
    const auto own = [&](int64_t begin, int64_t rows) {
      if (rows > 0) {
        list.push_back({key_columns.at(kv_head, dim, begin), key_columns.stride,
                        v.row(begin) + kv_head * dim, kv_stride(), rows, begin});
      }
    };
    for (const KeyRange& range : group.sees) own(range.begin, range.rows);
    own(group.begin, group.causal ? last : group.rows);
    return list;
  }
};

int64_t key_count(const std::vector<Segment>& segments) {
  return std::accumulate(segments.begin(), segments.end(), int64_t{0},
                         [](int64_t sum, const Segment& s) { return sum + s.rows; });
}

// A block of query rows of one head, with room for its scores.
struct QueryBlock {
  int64_t first, rows;  // within the group
  int head;
  int64_t keys, stride;  // columns of the score block, and its row stride
};

// Keys that row `r` of the group sees, of the `keys` that the block does.
int64_t visible(const AttentionGroup& group, const QueryBlock& block, int64_t r) {
  return group.causal ? block.keys - (block.first + block.rows) + r + 1 : block.keys;
}

// Raw scores q kᵀ of a block.
void score(const Problem& p, const AttentionGroup& group, const QueryBlock& block,
           const std::vector<Segment>& segments, float* scores) {
  const float* q = p.q.row(group.begin + block.first) + int64_t{block.head} * p.shape.head_dim;
  int64_t column = 0;
  for (const Segment& s : segments) {
    kernels::kernels().matmul_small(q, p.q_stride(), 1, s.keys, s.key_stride,
                                    static_cast<int>(block.rows), static_cast<int>(s.rows),
                                    p.shape.head_dim, scores + column, block.stride, false);
    column += s.rows;
  }
}

struct RowStatistics {
  Tensor shift, inv_sum;  // [rows, heads]
};

// Scores -> exp(scale (s - shift)) with zeros where a row must not see, and the row's shift and
// sum.
void exponentiate(const AttentionGroup& group, const QueryBlock& block, float scale, float* scores,
                  RowStatistics& statistics, int heads) {
  for (int64_t i = 0; i < block.rows; ++i) {
    float* row = scores + i * block.stride;
    const int64_t seen = visible(group, block, block.first + i);
    const float shift = kernels::kernels().max(row, seen);
    const float sum = kernels::kernels().exp_sum(row, shift, scale, seen, row);
    std::fill(row + seen, row + block.keys, 0.0F);
    const int64_t at = (group.begin + block.first + i) * heads + block.head;
    statistics.shift.data()[at] = shift;
    statistics.inv_sum.data()[at] = 1.0F / sum;
  }
}

std::vector<float>& workspace(size_t floats) {
  thread_local std::vector<float> buffer;
  if (buffer.size() < floats) buffer.resize(floats);
  return buffer;
}

template <class Visit>
void for_each_block(const Problem& p, const AttentionGroup& group, int kv_head,
                    const Visit& visit) {
  for (int64_t first = 0; first < group.rows; first += kQueryBlock) {
    const int64_t rows = std::min<int64_t>(kQueryBlock, group.rows - first);
    const std::vector<Segment> segments = p.segments(group, kv_head, first + rows);
    const int64_t keys = key_count(segments);
    for (int i = 0; i < p.heads_per_kv(); ++i) {
      const int head = kv_head * p.heads_per_kv() + i;
      visit(QueryBlock{first, rows, head, keys, (keys + 15) / 16 * 16}, segments);
    }
  }
}

void forward_group(const Problem& p, const AttentionGroup& group, int kv_head, Tensor& out,
                   RowStatistics& statistics) {
  for_each_block(
      p, group, kv_head, [&](const QueryBlock& block, const std::vector<Segment>& segments) {
        float* scores = workspace(static_cast<size_t>(block.rows * block.stride)).data();
        score(p, group, block, segments, scores);
        exponentiate(group, block, p.scale(), scores, statistics, p.shape.heads);
        float* o = out.row(group.begin + block.first) + int64_t{block.head} * p.shape.head_dim;
        int64_t column = 0;
        for (const Segment& s : segments) {
          kernels::kernels().matmul_small(scores + column, block.stride, 1, s.values,
                                          s.value_stride, static_cast<int>(block.rows),
                                          p.shape.head_dim, static_cast<int>(s.rows), o,
                                          p.q_stride(), column > 0);
          column += s.rows;
        }
        for (int64_t i = 0; i < block.rows; ++i) {
          const int64_t at = (group.begin + block.first + i) * p.shape.heads + block.head;
          kernels::kernels().scale(statistics.inv_sum.data()[at], p.shape.head_dim,
                                   o + i * p.q_stride());
        }
      });
}

struct Gradients {
  const Tensor& dout;
  const Tensor& out;
  Columns value_columns;
  float *dq, *dk, *dv;
};

void backward_group(const Problem& p, const AttentionGroup& group, int kv_head,
                    const RowStatistics& statistics, const Gradients& g) {
  const auto& kernel = kernels::kernels();
  const int dim = p.shape.head_dim;
  for_each_block(
      p, group, kv_head, [&](const QueryBlock& block, const std::vector<Segment>& segments) {
        const size_t area = static_cast<size_t>(block.rows * block.stride);
        float* probability = workspace(2 * area).data();
        float* slope = probability + area;  // dP, then dS
        const int64_t row0 = group.begin + block.first;
        const int64_t q_offset = row0 * p.q_stride() + int64_t{block.head} * dim;
        const float* dout = g.dout.data() + q_offset;
        const auto rows = static_cast<int>(block.rows);
        score(p, group, block, segments, probability);
        int64_t column = 0;
        for (const Segment& s : segments) {
          ALAMBIC_CHECK(s.begin >= 0);
          kernel.matmul_small(dout, p.q_stride(), 1, g.value_columns.at(kv_head, dim, s.begin),
                              g.value_columns.stride, rows, static_cast<int>(s.rows), dim,
                              slope + column, block.stride, false);
          column += s.rows;
        }
        for (int64_t i = 0; i < block.rows; ++i) {
          float* prob = probability + i * block.stride;
          float* ds = slope + i * block.stride;
          const int64_t at = (row0 + i) * p.shape.heads + block.head;
          const int64_t seen = visible(group, block, block.first + i);
          kernel.exp_sum(prob, statistics.shift.data()[at], p.scale(), seen, prob);
          kernel.scale(statistics.inv_sum.data()[at], seen, prob);
          const float mean =
              kernel.dot(dout + i * p.q_stride(), g.out.data() + q_offset + i * p.q_stride(), dim);
          kernel.softmax_backward(prob, ds, mean, p.scale(), seen, ds);
          std::fill(prob + seen, prob + block.keys, 0.0F);
          std::fill(ds + seen, ds + block.keys, 0.0F);
        }
        column = 0;
        const float* q = p.q.data() + q_offset;
        for (const Segment& s : segments) {
          const int64_t kv_offset = s.begin * p.kv_stride() + int64_t{kv_head} * dim;
          const auto keys = static_cast<int>(s.rows);
          kernel.matmul_small(slope + column, block.stride, 1, p.k.data() + kv_offset,
                              p.kv_stride(), rows, dim, keys, g.dq + q_offset, p.q_stride(),
                              column > 0);
          kernel.matmul_small(slope + column, 1, block.stride, q, p.q_stride(), keys, dim, rows,
                              g.dk + kv_offset, p.kv_stride(), true);
          kernel.matmul_small(probability + column, 1, block.stride, dout, p.q_stride(), keys, dim,
                              rows, g.dv + kv_offset, p.kv_stride(), true);
          column += s.rows;
        }
      });
}

// Runs of groups that see each other: different runs touch different key rows, so they may run in
// parallel.
std::vector<std::pair<size_t, size_t>> independent_runs(const std::vector<AttentionGroup>& groups) {
  std::vector<std::pair<size_t, size_t>> runs;
  for (size_t i = 0; i < groups.size(); ++i) {
    size_t first = i;
    for (const KeyRange& range : groups[i].sees) {
      while (first > 0 && groups[first].begin > range.begin) --first;
    }
    while (!runs.empty() && runs.back().second > first) {
      first = std::min(first, runs.back().first);
      runs.pop_back();
    }
    runs.emplace_back(first, i + 1);
  }
  return runs;
}

void check_groups(const std::vector<AttentionGroup>& groups, int64_t rows) {
  int64_t next = 0;
  for (const AttentionGroup& group : groups) {
    ALAMBIC_CHECK(group.begin == next && group.rows > 0);
    for (const KeyRange& range : group.sees) {
      ALAMBIC_CHECK(range.begin >= 0 && range.rows >= 0 && range.begin + range.rows <= group.begin);
    }
    next += group.rows;
  }
  ALAMBIC_CHECK(next == rows);
}

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionShape& shape,
                 std::vector<AttentionGroup> groups) {
  check_groups(groups, q.rows());
  const bool save = recording({&q, &k, &v});
  auto problem = std::make_shared<Problem>(
      Problem{q, k, v, shape, std::move(groups), columns_of(k, shape.kv_heads, shape.head_dim)});
  Tensor out = Tensor::empty(q.shape());
  RowStatistics statistics{Tensor::empty({q.rows(), shape.heads}),
                           Tensor::empty({q.rows(), shape.heads})};
  const auto count = static_cast<int64_t>(problem->groups.size());
  parallel_for(count * shape.kv_heads, [&](int64_t task) {
    forward_group(*problem, problem->groups[static_cast<size_t>(task / shape.kv_heads)],
                  static_cast<int>(task % shape.kv_heads), out, statistics);
  });
  if (!save) return out;
  problem->key_columns = {};  // cheaper to rebuild than to keep
  return record(out, {q, k, v}, [problem, statistics, saved = out.alias()](const Tensor& dout) {
    Problem& p = *problem;
    p.key_columns = columns_of(p.k, p.shape.kv_heads, p.shape.head_dim);
    Tensor dq = Tensor::empty(p.q.shape()), dk = Tensor::zeros(p.k.shape()),
           dv = Tensor::zeros(p.v.shape());
    const Gradients gradients{
        dout,      saved,     columns_of(p.v, p.shape.kv_heads, p.shape.head_dim),
        dq.data(), dk.data(), dv.data()};
    const auto runs = independent_runs(p.groups);
    parallel_for(static_cast<int64_t>(runs.size()) * p.shape.kv_heads, [&](int64_t task) {
      const auto [first, last] = runs[static_cast<size_t>(task / p.shape.kv_heads)];
      for (size_t i = first; i < last; ++i) {
        backward_group(p, p.groups[i], static_cast<int>(task % p.shape.kv_heads), statistics,
                       gradients);
      }
    });
    pass_gradient(p.q, dq);
    pass_gradient(p.k, dk);
    pass_gradient(p.v, dv);
  });
}

}  // namespace alambic
