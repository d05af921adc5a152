#include "alambic/models/stored_tensor.h"

#include <algorithm>

namespace alambic {
namespace {

// Calls move(own element, stored element, count) for runs that are contiguous in both.
template <class Move>
void for_each_run(const StoredTensor& stored, int head_dim, const Shape& shape, const Move& move) {
  const bool matrix = shape.size() == 2;
  const int64_t out = shape[0], in = matrix ? shape[1] : 1;
  const int64_t all = out * stored.parts;
  const int64_t piece = stored.per_head ? head_dim : out;  // rows of a part that lie together
  for (int64_t row = 0; row < out; ++row) {
    const int64_t at = (row / piece * stored.parts + stored.part) * piece + row % piece;
    if (!stored.transposed) {
      move(row * in, at * in, in);
      continue;
    }
    for (int64_t col = 0; col < in; ++col) move(row * in + col, col * all + at, int64_t{1});
  }
}

}  // namespace

Shape StoredTensor::shape(const Shape& own) const {
  if (own.size() == 1) return {own[0] * parts};
  return transposed ? Shape{own[1], own[0] * parts} : Shape{own[0] * parts, own[1]};
}

std::string StoredTensor::single_name() const {
  if (parts == 1) return name;
  const size_t dot = name.rfind('.');
  return name.substr(0, dot) + "." + std::to_string(part) + name.substr(dot);
}

void take_part(const StoredTensor& stored, int head_dim, std::span<const float> whole,
               Tensor& own) {
  float* to = own.data();
  for_each_run(stored, head_dim, own.shape(), [&](int64_t mine, int64_t theirs, int64_t count) {
    std::copy_n(whole.data() + theirs, count, to + mine);
  });
}

void put_part(const StoredTensor& stored, int head_dim, const Tensor& own, std::span<float> whole) {
  const float* from = own.data();
  for_each_run(stored, head_dim, own.shape(), [&](int64_t mine, int64_t theirs, int64_t count) {
    std::copy_n(from + mine, count, whole.data() + theirs);
  });
}

}  // namespace alambic
