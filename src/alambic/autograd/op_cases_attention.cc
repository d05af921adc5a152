// The attention cases: packed documents, all-to-all groups, and the layout of joint hybrid
// training.
#include <fmt/format.h>

#include <cmath>

#include "alambic/autograd/op_cases.h"
#include "alambic/autograd/ops_attention.h"

namespace alambic {
namespace {

std::vector<AttentionGroup> documents(const std::vector<int64_t>& lengths, bool causal) {
  std::vector<AttentionGroup> groups;
  int64_t begin = 0;
  for (const int64_t rows : lengths) {
    groups.push_back({begin, rows, causal, {}, {}, 0});
    begin += rows;
  }
  return groups;
}

// A causal clean document, then per block of it a masked group that sees the clean rows before the
// block.
std::vector<AttentionGroup> hybrid(int64_t rows, int64_t block) {
  std::vector<AttentionGroup> groups = documents({rows}, true);
  for (int64_t first = 0; first < rows; first += block) {
    AttentionGroup group{rows + first, std::min(block, rows - first), false, {}, {}, first};
    if (first > 0) group.sees.push_back({0, first, 0});
    groups.push_back(group);
  }
  return groups;
}

// Two hybrid documents in one forward, the second one seeing nothing of the first, with a group
// that sees two ranges.
std::vector<AttentionGroup> two_hybrids() {
  std::vector<AttentionGroup> groups = hybrid(19, 7);
  const int64_t begin = groups.back().begin + groups.back().rows;
  groups.push_back({begin, 20, true, {}, {}, 0});
  groups.push_back({begin + 20, 5, false, {{begin, 11, 0}}, {}, 11});
  groups.push_back({begin + 25, 6, true, {{begin, 13, 0}, {begin + 20, 5, 11}}, {}, 16});
  return groups;
}

int64_t row_total(const std::vector<AttentionGroup>& groups) {
  return groups.back().begin + groups.back().rows;
}

// The rows that row `row` of `group` attends to.
std::vector<int64_t> visible_rows(const AttentionGroup& group, int64_t row) {
  std::vector<int64_t> rows;
  for (const KeyRange& range : group.sees) {
    for (int64_t i = 0; i < range.rows; ++i) rows.push_back(range.begin + i);
  }
  const int64_t last = group.causal ? row + 1 : group.begin + group.rows;
  for (int64_t i = group.begin; i < last; ++i) rows.push_back(i);
  return rows;
}

std::vector<int64_t> row_positions(const std::vector<AttentionGroup>& groups) {
  std::vector<int64_t> positions;
  for (const AttentionGroup& group : groups) {
    for (int64_t i = 0; i < group.rows; ++i) positions.push_back(group.position + i);
  }
  return positions;
}

// 2^(-8 (head + 1) / heads) where heads are a power of two; beyond one, odd steps of the double.
double slope_of(int head, int heads) {
  const double whole = std::pow(2, std::floor(std::log2(heads)));
  return head < whole ? std::pow(2, -8 * (head + 1) / whole)
                      : std::pow(2, -4 * (2 * (head - whole) + 1) / whole);
}

Doubles reference(const std::vector<AttentionGroup>& groups, const AttentionShape& shape,
                  const Doubles& qkv) {
  const std::vector<int64_t> positions = row_positions(groups);
  const int64_t dim = shape.head_dim, ld = shape.width(), q_width = shape.query_width();
  const double* k = qkv.data() + q_width;
  const double* v = k + shape.key_width();
  Doubles out(static_cast<size_t>(row_total(groups) * q_width));
  for (const AttentionGroup& group : groups) {
    for (int64_t row = group.begin; row < group.begin + group.rows; ++row) {
      const std::vector<int64_t> seen = visible_rows(group, row);
      for (int head = 0; head < shape.heads; ++head) {
        const int64_t key_at = head / (shape.heads / shape.kv_heads) * dim,
                      query_at = row * ld + head * dim, out_at = row * q_width + head * dim;
        Doubles weight;
        double total = 0;
        for (const int64_t other : seen) {
          double dot = 0;
          for (int64_t i = 0; i < dim; ++i) dot += qkv[query_at + i] * k[other * ld + key_at + i];
          const int64_t distance = positions[row] - positions[other];
          double score = dot / std::sqrt(static_cast<double>(dim));
          if (shape.alibi)
            score -= slope_of(head, shape.heads) * static_cast<double>(std::abs(distance));
          const bool near = shape.window == 0 || distance < shape.window;
          weight.push_back(near ? std::exp(score) : 0);
          total += weight.back();
        }
        for (size_t j = 0; j < seen.size(); ++j) {
          for (int64_t i = 0; i < dim; ++i) {
            out[out_at + i] += weight[j] / total * v[seen[j] * ld + key_at + i];
          }
        }
      }
    }
  }
  return out;
}

Tensor rows_of(const Tensor& x, const std::vector<int64_t>& rows) {
  Tensor out = Tensor::empty({static_cast<int64_t>(rows.size()), x.cols()});
  for (size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(x.row(rows[i]), x.cols(), out.row(static_cast<int64_t>(i)));
  }
  return out;
}

// One row again, in a forward that holds nothing but the keys it sees. Those before its own group
// arrive as a group of their own, so both ways of meeting a key are compared.
Tensor row_alone(const std::vector<AttentionGroup>& groups, const AttentionShape& shape,
                 const std::vector<Tensor>& in, int64_t row) {
  const AttentionGroup* group = groups.data();
  while (row >= group->begin + group->rows) ++group;
  const std::vector<int64_t> seen = visible_rows(*group, row);
  const int64_t own = group->causal ? row + 1 - group->begin : group->rows;
  const int64_t before = static_cast<int64_t>(seen.size()) - own;
  std::vector<AttentionGroup> fewer;
  // A group for each range, which has positions of its own.
  int64_t begin = 0;
  for (const KeyRange& range : group->sees) {
    if (range.rows > 0) fewer.push_back({begin, range.rows, true, {}, {}, range.position});
    begin += range.rows;
  }
  AttentionGroup last{before, own, group->causal, {}, {}, group->position};
  for (const AttentionGroup& other : fewer)
    last.sees.push_back({other.begin, other.rows, other.position});
  fewer.push_back(last);
  const Tensor out = attention(rows_of(in[0], seen), shape, fewer);
  return rows_of(out, {before + row - group->begin});
}

OpCase attention_case(const char* layout, const std::vector<AttentionGroup>& groups,
                      const AttentionShape& shape) {
  const int64_t rows = row_total(groups);
  double pairs = 0;
  for (const AttentionGroup& group : groups) {
    for (int64_t r = 0; r < group.rows; ++r) {
      pairs += static_cast<double>(visible_rows(group, group.begin + r).size());
    }
  }
  return {
      .name = fmt::format("attention/{}/{}h{}kv{}d{}{}", layout, shape.heads, shape.kv_heads,
                          shape.head_dim, shape.window > 0 ? "/window" : "",
                          shape.alibi ? "/alibi" : ""),
      .inputs = {{rows, shape.width()}},
      .run = [=](const std::vector<Tensor>& in) { return attention(in[0], shape, groups); },
      .reference = [=](const std::vector<Doubles>& in) { return reference(groups, shape, in[0]); },
      .row_alone = [=](const std::vector<Tensor>& in,
                       int64_t row) { return row_alone(groups, shape, in, row); },
      .flops = 4 * pairs * shape.heads * shape.head_dim};
}

}  // namespace

void add_attention_cases(std::vector<OpCase>& table) {
  for (const AttentionShape& shape : {AttentionShape{2, 2, 16},
                                      {4, 2, 64},
                                      {3, 1, 16},
                                      {2, 1, 6},
                                      {4, 2, 16, 9},
                                      {3, 3, 16, 0, true}}) {
    table.push_back(attention_case("packed", documents({33, 1, 70, 16}, true), shape));
    table.push_back(attention_case("all_to_all", documents({17, 40}, false), shape));
    table.push_back(attention_case("hybrid", hybrid(45, 8), shape));
    table.push_back(attention_case("two_hybrids", two_hybrids(), shape));
  }
  // Several blocks of keys.
  table.push_back(attention_case("long", documents({530, 3}, true), {2, 1, 8}));
  table.push_back(attention_case("long", documents({530, 3}, true), {2, 1, 8, 200, true}));
  table.push_back(attention_case("long_all_to_all", documents({300}, false), {2, 1, 8}));
  OpCase packed =
      attention_case("packed_8x256", documents(std::vector<int64_t>(8, 256), true), {6, 6, 48});
  OpCase joint = attention_case("hybrid_1024", hybrid(1024, 16), {9, 3, 64});
  packed.timed = joint.timed = true;
  table.push_back(std::move(packed));
  table.push_back(std::move(joint));
}

}  // namespace alambic
