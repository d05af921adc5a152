#include "alambic/autograd/ops_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "alambic/base/error.h"
#include "alambic/kernels/table.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

constexpr int kQueryBlock = 32;
constexpr int64_t kKeyBlock = 256;

// [heads, head_dim, stride] with a key per column; the stride is kept off powers of two, which
// would put all rows of a column block into one cache set.
struct Columns {
  Tensor data;
  int64_t stride;
  const float* at(int head, int dim, int64_t column) const {
    return data.data() + static_cast<int64_t>(head) * dim * stride + column;
  }
};

// Of the heads that lie side by side from `first` on in the rows of t.
Columns columns_of(const Tensor& t, int64_t first, int heads, int dim) {
  const int64_t stride = (t.rows() + 15) / 16 * 16 + 16;
  Columns columns{Tensor::empty({heads, dim, stride}), stride};
  constexpr int64_t kRows = 64;
  const auto transpose = [&](int64_t task) {
    const int64_t row = task / heads * kRows;
    const auto head = static_cast<int>(task % heads);
    kernels::kernels().transpose(
        t.row(row) + first + int64_t{head} * dim, t.cols(),
        static_cast<int>(std::min(kRows, t.rows() - row)), dim,
        columns.data.data() + static_cast<int64_t>(head) * dim * stride + row, stride);
  };
  const int64_t tasks = (t.rows() + kRows - 1) / kRows * heads;
  if (t.rows() <= kRows) {
    for (int64_t task = 0; task < tasks; ++task) transpose(task);
  } else {
    parallel_for(tasks, transpose);
  }
  return columns;
}

// Elements of one of two sizes, wherever they lie.
struct Elements {
  const std::byte* data;
  kernels::Element element;

  static Elements of(const float* p) {
    return {reinterpret_cast<const std::byte*>(p), kernels::Element::kF32};
  }
  Elements operator+(int64_t count) const {
    return {data + count * (element == kernels::Element::kF32 ? 4 : 2), element};
  }
};

// c[m, n] (+)= a[m, k] b[k, n]
void small_product(const float* a, int64_t a_row, const Elements& b, int64_t ldb, int64_t m,
                   int64_t n, int64_t k, float* c, int64_t ldc, bool accumulate) {
  const auto& kernel = kernels::kernels();
  const int rows = static_cast<int>(m), cols = static_cast<int>(n), depth = static_cast<int>(k);
  if (b.element == kernels::Element::kF32) {
    kernel.matmul_small(a, a_row, 1, reinterpret_cast<const float*>(b.data), ldb, rows, cols, depth,
                        c, ldc, accumulate);
  } else {
    kernel.matmul_small_bf16(a, a_row, 1, reinterpret_cast<const uint16_t*>(b.data), ldb, rows,
                             cols, depth, c, ldc, accumulate);
  }
}

// A run of keys as one query block meets it.
struct Segment {
  Elements keys;  // [head_dim, stride]
  int64_t key_stride;
  Elements values;  // [rows, value_stride]
  int64_t value_stride;
  int64_t rows;
  int64_t begin;     // first row in this forward, -1 in a cache
  int64_t position;  // of the first row
};

struct Problem {
  Tensor qkv;
  AttentionShape shape;
  Columns key_columns;

  int64_t ld() const { return shape.width(); }
  int heads_per_kv() const { return shape.heads / shape.kv_heads; }
  bool placed() const { return shape.alibi || shape.window > 0; }
  float scale() const { return 1.0F / std::sqrt(static_cast<float>(shape.head_dim)); }
  int64_t query_at(int64_t row, int head) const {
    return row * ld() + int64_t{head} * shape.head_dim;
  }
  int64_t key_at(int64_t row, int kv_head) const {
    return row * ld() + shape.query_width() + int64_t{kv_head} * shape.head_dim;
  }
  int64_t value_at(int64_t row, int kv_head) const {
    return key_at(row, kv_head) + shape.key_width();
  }
};

// The keys that the query rows [0, last) of a group meet, in order: everything before the group,
// then its own rows.
class KeySequence {
 public:
  KeySequence(const Problem& p, const AttentionGroup& group, int kv_head, int64_t last) {
    segments_.clear();
    const int dim = p.shape.head_dim;
    if (group.cached.rows > 0) {
      const CachedKeys& cached = group.cached;
      add({Elements{cached.keys, cached.element} + int64_t{kv_head} * dim * cached.stride,
           cached.stride, Elements{cached.values, cached.element} + int64_t{kv_head} * dim,
           p.shape.key_width(), cached.rows, -1, 0});
    }
    const auto own = [&](int64_t begin, int64_t rows, int64_t position) {
      if (rows == 0) return;
      add({Elements::of(p.key_columns.at(kv_head, dim, begin)), p.key_columns.stride,
           Elements::of(p.qkv.data() + p.value_at(begin, kv_head)), p.ld(), rows, begin, position});
    };
    for (const KeyRange& range : group.sees) own(range.begin, range.rows, range.position);
    own(group.begin, group.causal ? last : group.rows, group.position);
  }
  int64_t size() const { return size_; }

  // visit(segment, first row in it, rows, column) for the parts of keys [first, first + count).
  template <class Visit>
  void visit(int64_t first, int64_t count, const Visit& visit) const {
    int64_t begin = 0;
    for (const Segment& s : segments_) {
      const int64_t from = std::max(first, begin), to = std::min(first + count, begin + s.rows);
      if (from < to) visit(s, from - begin, to - from, from - first);
      begin += s.rows;
    }
  }

 private:
  void add(const Segment& s) {
    segments_.push_back(s);
    size_ += s.rows;
  }
  static thread_local std::vector<Segment> segments_;  // one sequence at a time on a thread
  int64_t size_ = 0;
};
thread_local std::vector<Segment> KeySequence::segments_;

// A block of query rows of a group, all heads of one key head.
struct QueryBlock {
  const AttentionGroup* group;
  int64_t first, rows;  // within the group
  int kv_head;

  int64_t row(int64_t i) const { return group->begin + first + i; }
  int64_t position(int64_t i) const { return group->position + first + i; }
  // Of the `keys` that the block meets, those that its row i sees.
  int64_t visible(int64_t keys, int64_t i) const {
    return group->causal ? keys - rows + i + 1 : keys;
  }
  int64_t last() const { return first + rows; }
};

// Rows that one small product takes: the rows of a head, or, where the block is a single row, its
// heads, so that they share each key read.
struct Band {
  int head;
  int64_t rows;
  bool heads_as_rows;
};

template <class Visit>
void for_each_band(const Problem& p, const QueryBlock& block, const Visit& visit) {
  const int first = block.kv_head * p.heads_per_kv();
  if (block.rows == 1) return visit(Band{first, p.heads_per_kv(), true});
  for (int i = 0; i < p.heads_per_kv(); ++i) visit(Band{first + i, block.rows, false});
}

float* workspace(int slot, size_t floats) {
  thread_local std::vector<float> buffers[3];
  auto& buffer = buffers[slot];
  if (buffer.size() < floats) buffer.resize(floats);
  return buffer.data();
}

// The slope of a head: a geometric sequence over the nearest power of two of heads, the rest taken
// from every other step of the next finer one (arXiv 2108.12409, as published code has it).
float alibi_slope(int head, int heads) {
  int whole = 1;
  while (2 * whole <= heads) whole *= 2;
  const double exponent =
      head < whole ? 8.0 * (head + 1) / whole : 8.0 * (2 * (head - whole) + 1) / (2 * whole);
  return static_cast<float>(std::exp2(-exponent));
}

// What positions do to a row of scores of keys [first, first + count).
void place(const Problem& p, const KeySequence& keys, int64_t first, int64_t count,
           int64_t position, int head, float* scores) {
  const int64_t window = p.shape.window;
  const float slope = p.shape.alibi ? alibi_slope(head, p.shape.heads) / p.scale() : 0.0F;
  keys.visit(first, count, [&](const Segment& s, int64_t from, int64_t some, int64_t column) {
    const int64_t nearest = s.position + from;
    if (p.shape.alibi) {
      for (int64_t j = 0; j < some; ++j)
        scores[column + j] -= slope * static_cast<float>(std::abs(position - nearest - j));
    }
    if (window > 0) {
      const int64_t hidden = std::clamp<int64_t>(position - window + 1 - nearest, 0, some);
      std::fill_n(scores + column, hidden, -std::numeric_limits<float>::infinity());
    }
  });
}

// Scores q kᵀ of keys [first, first + count), row stride kKeyBlock.
void score(const Problem& p, const KeySequence& keys, int64_t first, int64_t count, const float* q,
           int64_t q_stride, int64_t rows, float* scores) {
  keys.visit(first, count, [&](const Segment& s, int64_t from, int64_t some, int64_t column) {
    small_product(q, q_stride, s.keys + from, s.key_stride, rows, some, p.shape.head_dim,
                  scores + column, kKeyBlock, false);
  });
}

struct RowStatistics {
  Tensor shift, inv_sum;  // [rows, heads]; undefined where nothing is saved
};

// One row of a block of scores -> exp(scale (s - shift)), zeros behind what it sees; the output so
// far and its sum follow the maximum.
void exponentiate(float scale, int64_t seen, int64_t count, float* scores, float& shift, float& sum,
                  float* out, int64_t dim) {
  if (seen > 0) {
    const auto& kernel = kernels::kernels();
    const float before = shift;
    shift = std::max(shift, kernel.max(scores, seen));
    if (shift == -std::numeric_limits<float>::infinity()) {  // all out of the window
      std::fill_n(scores, count, 0.0F);
      return;
    }
    if (shift > before && sum > 0) {
      float shrink = 0;
      kernel.exp_sum(&before, shift, scale, 1, &shrink);
      kernel.scale(shrink, dim, out);
      sum *= shrink;
    }
    sum += kernel.exp_sum(scores, shift, scale, seen, scores);
  }
  std::fill(scores + seen, scores + count, 0.0F);
}

void attend(const Problem& p, const QueryBlock& block, Tensor& out, RowStatistics& statistics) {
  const auto& kernel = kernels::kernels();
  const int dim = p.shape.head_dim;
  const int64_t out_ld = p.shape.query_width();
  const KeySequence keys(p, *block.group, block.kv_head, block.last());
  const auto states = static_cast<size_t>(block.rows * p.heads_per_kv());
  float* shifts = workspace(0, 2 * states);
  float* sums = shifts + states;
  std::fill_n(shifts, states, -std::numeric_limits<float>::infinity());
  std::fill_n(sums, states, 0.0F);
  for (int64_t first = 0; first < keys.size(); first += kKeyBlock) {
    const int64_t count = std::min(kKeyBlock, keys.size() - first);
    int64_t state = 0;
    for_each_band(p, block, [&](const Band& band) {
      float* scores = workspace(1, static_cast<size_t>(band.rows * kKeyBlock));
      const int64_t q_stride = band.heads_as_rows ? dim : p.ld();
      const int64_t o_stride = band.heads_as_rows ? dim : out_ld;
      float* o = out.row(block.row(0)) + int64_t{band.head} * dim;
      score(p, keys, first, count, p.qkv.data() + p.query_at(block.row(0), band.head), q_stride,
            band.rows, scores);
      for (int64_t i = 0; i < band.rows; ++i, ++state) {
        const int64_t row = band.heads_as_rows ? 0 : i;
        const int64_t visible = block.visible(keys.size(), row);
        if (p.placed()) {
          place(p, keys, first, count, block.position(row),
                band.heads_as_rows ? band.head + static_cast<int>(i) : band.head,
                scores + i * kKeyBlock);
        }
        exponentiate(p.scale(), std::clamp<int64_t>(visible - first, 0, count), count,
                     scores + i * kKeyBlock, shifts[state], sums[state], o + i * o_stride, dim);
      }
      keys.visit(first, count, [&](const Segment& s, int64_t from, int64_t some, int64_t column) {
        small_product(scores + column, kKeyBlock, s.values + from * s.value_stride, s.value_stride,
                      band.rows, dim, some, o, o_stride, first + column > 0);
      });
    });
  }
  int64_t state = 0;
  for_each_band(p, block, [&](const Band& band) {
    for (int64_t i = 0; i < band.rows; ++i, ++state) {
      const int64_t row = block.row(band.heads_as_rows ? 0 : i);
      const int64_t head = band.heads_as_rows ? band.head + i : band.head;
      const float inverse = 1.0F / sums[state];
      kernel.scale(inverse, dim, out.row(row) + head * dim);
      if (!statistics.shift.defined()) continue;
      statistics.shift.data()[row * p.shape.heads + head] = shifts[state];
      statistics.inv_sum.data()[row * p.shape.heads + head] = inverse;
    }
  });
}

struct Gradients {
  const Tensor& dout;
  const Tensor& out;
  const RowStatistics& statistics;
  Columns value_columns;
  float* dqkv;  // keys and values zeroed
};

// One head of a block.
void attend_backward(const Problem& p, const QueryBlock& block, const KeySequence& keys, int head,
                     const Gradients& g) {
  const auto& kernel = kernels::kernels();
  const int dim = p.shape.head_dim;
  const int64_t out_ld = p.shape.query_width(),
                out_at = block.row(0) * out_ld + int64_t{head} * dim;
  const int64_t q_at = p.query_at(block.row(0), head);
  const auto rows = static_cast<int>(block.rows);
  const float* dout = g.dout.data() + out_at;
  const float* q = p.qkv.data() + q_at;
  float* probability = workspace(1, static_cast<size_t>(block.rows * kKeyBlock));
  float* slope = workspace(2, static_cast<size_t>(block.rows * kKeyBlock));  // dP, then dS
  float* means = workspace(0, static_cast<size_t>(block.rows));
  for (int64_t i = 0; i < block.rows; ++i)
    means[i] = kernel.dot(dout + i * out_ld, g.out.data() + out_at + i * out_ld, dim);
  for (int64_t first = 0; first < keys.size(); first += kKeyBlock) {
    const int64_t count = std::min(kKeyBlock, keys.size() - first);
    score(p, keys, first, count, q, p.ld(), block.rows, probability);
    keys.visit(first, count, [&](const Segment& s, int64_t from, int64_t some, int64_t column) {
      ALAMBIC_CHECK(s.begin >= 0);
      kernel.matmul_small(dout, out_ld, 1, g.value_columns.at(block.kv_head, dim, s.begin + from),
                          g.value_columns.stride, rows, static_cast<int>(some), dim, slope + column,
                          kKeyBlock, false);
    });
    for (int64_t i = 0; i < block.rows; ++i) {
      float* prob = probability + i * kKeyBlock;
      float* ds = slope + i * kKeyBlock;
      const int64_t at = block.row(i) * p.shape.heads + head;
      const int64_t seen = std::clamp<int64_t>(block.visible(keys.size(), i) - first, 0, count);
      if (p.placed()) place(p, keys, first, count, block.position(i), head, prob);
      kernel.exp_sum(prob, g.statistics.shift.data()[at], p.scale(), seen, prob);
      kernel.scale(g.statistics.inv_sum.data()[at], seen, prob);
      kernel.softmax_backward(prob, ds, means[i], p.scale(), seen, ds);
      std::fill(prob + seen, prob + count, 0.0F);
      std::fill(ds + seen, ds + count, 0.0F);
    }
    keys.visit(first, count, [&](const Segment& s, int64_t from, int64_t some, int64_t column) {
      const int64_t k_at = p.key_at(s.begin + from, block.kv_head);
      const int64_t v_at = p.value_at(s.begin + from, block.kv_head);
      const auto n = static_cast<int>(some);
      kernel.matmul_small(slope + column, kKeyBlock, 1, p.qkv.data() + k_at, p.ld(), rows, dim, n,
                          g.dqkv + q_at, p.ld(), first + column > 0);
      kernel.matmul_small(slope + column, 1, kKeyBlock, q, p.ld(), n, dim, rows, g.dqkv + k_at,
                          p.ld(), true);
      kernel.matmul_small(probability + column, 1, kKeyBlock, dout, out_ld, n, dim, rows,
                          g.dqkv + v_at, p.ld(), true);
    });
  }
}

// Runs of groups that see each other: different runs touch different key rows, so they may run in
// parallel.
std::vector<std::pair<size_t, size_t>> independent_runs(std::span<const AttentionGroup> groups) {
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

void check_groups(std::span<const AttentionGroup> groups, int64_t rows) {
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

Problem problem_of(const Tensor& qkv, const AttentionShape& shape) {
  return {qkv, shape, columns_of(qkv, shape.query_width(), shape.kv_heads, shape.head_dim)};
}

// A block of queries is a task: what it reads is shared, what it writes is its own.
void attend_all(const Problem& p, std::span<const AttentionGroup> groups, Tensor& out,
                RowStatistics& statistics) {
  thread_local std::vector<QueryBlock> blocks;
  blocks.clear();
  int64_t work = 0;
  for (const AttentionGroup& group : groups) {
    for (int64_t first = 0; first < group.rows; first += kQueryBlock) {
      const int64_t rows = std::min<int64_t>(kQueryBlock, group.rows - first);
      for (int kv_head = 0; kv_head < p.shape.kv_heads; ++kv_head)
        blocks.push_back({&group, first, rows, kv_head});
      work += rows * (group.cached.rows + first + rows) * p.shape.query_width();
    }
  }
  const std::span<const QueryBlock> tasks(blocks);
  const auto run = [&, tasks](int64_t i) {
    attend(p, tasks[static_cast<size_t>(i)], out, statistics);
  };
  if (work <= kSerialWork) {
    for (size_t i = 0; i < tasks.size(); ++i) run(static_cast<int64_t>(i));
  } else {
    parallel_for(static_cast<int64_t>(tasks.size()), run);
  }
}

Tensor attention_gradient(const Problem& p, std::span<const AttentionGroup> groups,
                          const RowStatistics& statistics, const Tensor& out, const Tensor& dout) {
  Tensor dqkv = Tensor::zeros(p.qkv.shape());
  const Gradients gradients{dout, out, statistics,
                            columns_of(p.qkv, p.shape.query_width() + p.shape.key_width(),
                                       p.shape.kv_heads, p.shape.head_dim),
                            dqkv.data()};
  const auto runs = independent_runs(groups);
  parallel_for(static_cast<int64_t>(runs.size()) * p.shape.kv_heads, [&](int64_t task) {
    const auto [from, to] = runs[static_cast<size_t>(task / p.shape.kv_heads)];
    const auto kv_head = static_cast<int>(task % p.shape.kv_heads);
    for (const AttentionGroup& group : groups.subspan(from, to - from)) {
      for (int64_t first = 0; first < group.rows; first += kQueryBlock) {
        const QueryBlock block{&group, first, std::min<int64_t>(kQueryBlock, group.rows - first),
                               kv_head};
        const KeySequence keys(p, group, kv_head, block.last());
        for (int i = 0; i < p.heads_per_kv(); ++i)
          attend_backward(p, block, keys, kv_head * p.heads_per_kv() + i, gradients);
      }
    }
  });
  return dqkv;
}

}  // namespace

Tensor attention(const Tensor& qkv, const AttentionShape& shape,
                 std::span<const AttentionGroup> groups) {
  check_groups(groups, qkv.rows());
  ALAMBIC_CHECK(qkv.cols() == shape.width());
  Tensor out = Tensor::empty({qkv.rows(), shape.query_width()});
  RowStatistics statistics;
  const bool save = recording({&qkv});
  if (save) {
    statistics = {Tensor::empty({qkv.rows(), shape.heads}),
                  Tensor::empty({qkv.rows(), shape.heads})};
  }
  attend_all(problem_of(qkv, shape), groups, out, statistics);
  if (!save) return out;
  return record(out, {qkv},
                [qkv, shape, statistics, kept = std::vector(groups.begin(), groups.end()),
                 saved = out.alias()](const Tensor& dout) {
                  // Key columns are cheaper to rebuild than to keep.
                  pass_gradient(qkv, attention_gradient(problem_of(qkv, shape), kept, statistics,
                                                        saved, dout));
                });
}

}  // namespace alambic
