#include "alambic/models/copy_circuit.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace alambic {
namespace {

constexpr double kLookBack = 0.5;  // weights by which the first layer finds the previous token
constexpr double kMatch = 1.5;     // weights by which the second layer compares notes
// How loudly the one notes and the other repeats what it sees, in units of the embedding's scale.
constexpr double kNote = 2.5, kCopy = 5;

using Direction = std::vector<double>;

double dot(const Direction& a, const Direction& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// `count` orthonormal directions of a space of `dim`, by Gram and Schmidt; zeros beyond `dim`.
std::vector<Direction> orthonormal(int count, int dim, Rng& rng) {
  std::vector<Direction> basis;
  while (static_cast<int>(basis.size()) < std::min(count, dim)) {
    Direction v(static_cast<size_t>(dim));
    for (double& x : v) x = rng.normal();
    for (const Direction& u : basis) {
      const double along = dot(u, v);
      for (size_t i = 0; i < v.size(); ++i) v[i] -= along * u[i];
    }
    const double norm = std::sqrt(dot(v, v));
    if (norm < 1e-3) continue;
    for (double& x : v) x /= norm;
    basis.push_back(std::move(v));
  }
  basis.resize(static_cast<size_t>(count), Direction(static_cast<size_t>(dim), 0.0));
  return basis;
}

void set_row(Tensor& matrix, int64_t row, double scale, const Direction& v) {
  for (size_t j = 0; j < v.size(); ++j) matrix.row(row)[j] = static_cast<float>(scale * v[j]);
}

void set_column(Tensor& matrix, int64_t column, double scale, const Direction& v) {
  for (size_t i = 0; i < v.size(); ++i)
    matrix.row(static_cast<int64_t>(i))[column] = static_cast<float>(scale * v[i]);
}

}  // namespace

int copy_heads(const ModelConfig& config) {
  // The circuit counts on what LLaMA has.
  const bool suits = config.positions == PositionKind::kRotary && !config.rope_interleaved &&
                     config.rotary_dims() == config.head_dim && !config.layer_norm &&
                     !config.parallel && !config.head_norms;
  if (config.layers < 2 || !suits) return 0;
  // The common direction, and per head what it reads and where it notes it.
  return std::min({2, config.kv_heads, config.dim / (2 * config.head_dim)});
}

void wire_copy_circuit(const ModelConfig& config, double embedding_std, Rng& rng, Tensor& embedding,
                       SelfAttention& first, SelfAttention& second) {
  const int heads = copy_heads(config), size = config.head_dim, half = size / 2;
  if (heads == 0) return;
  const std::vector<Direction> basis = orthonormal(1 + 2 * heads * size, config.dim, rng);
  const Direction& common = basis[0];
  const double norm = embedding_std * std::sqrt(static_cast<double>(config.dim));
  for (int64_t token = 0; token < embedding.rows(); ++token) {
    float* row = embedding.row(token);
    for (size_t j = 0; j < common.size(); ++j) row[j] += static_cast<float>(norm * common[j]);
  }
  const int group = config.heads / config.kv_heads;  // query heads that share a key head
  const Direction* reads = &basis[1];
  const Direction* notes = reads + heads * size;
  for (int kv = 0; kv < heads; ++kv) {
    for (int i = 0; i < size; ++i) {
      const int key = kv * size + i;
      const Direction &read = reads[key], &note = notes[key];
      // A query one step behind its key in every rotary plane (i, i + half) is highest where the
      // key stands one position before it.
      const double step = std::pow(config.rope_theta, -static_cast<double>(i % half) / half);
      const double behind = i < half ? std::cos(step) : -std::sin(step);
      set_row(first.key.weight.value, key, i < half ? kLookBack : 0, common);
      set_row(first.value.weight.value, key, 1, read);
      set_row(second.key.weight.value, key, kMatch, note);
      set_row(second.value.weight.value, key, 1, read);
      for (int g = 0; g < group; ++g) {
        const int query = (kv * group + g) * size + i;
        set_row(first.query.weight.value, query, kLookBack * behind, common);
        set_column(first.output.weight.value, query, kNote * embedding_std / group, note);
        set_row(second.query.weight.value, query, kMatch, read);
        set_column(second.output.weight.value, query, kCopy * embedding_std / group, read);
      }
    }
  }
}

}  // namespace alambic
