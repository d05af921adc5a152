#include "alambic/nn/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "alambic/base/error.h"

namespace alambic {
namespace {

// Key columns: rows [at, at + rows) of `keys` become columns.
template <class Element>
void scatter(const Element* keys, int64_t ld, int rows, int width, std::byte* columns,
             int64_t capacity, int64_t at) {
  auto* out = reinterpret_cast<Element*>(columns) + at;
  constexpr int kRows = 16;  // read from cache once for every column, written as a run
  for (int first = 0; first < rows; first += kRows) {
    const int last = std::min(rows, first + kRows);
    for (int c = 0; c < width; ++c) {
      for (int r = first; r < last; ++r) out[c * capacity + r] = keys[r * ld + c];
    }
  }
}

// The next capacity that holds `rows`. Odd multiples of 16: see Columns.
int grown(int capacity, int rows, int expected) {
  int next = std::max(48, capacity * 2 + 16);
  if (expected >= rows) next = std::min(next, (expected + 31) / 32 * 32 + 16);
  return std::max(rows, next);
}

}  // namespace

int KvCache::capacity_after(int at_once, int rows, int expected) {
  int capacity = at_once > 0 ? grown(0, at_once, expected) : 0;
  while (capacity < rows) capacity = grown(capacity, capacity + 1, expected);
  return capacity;
}

KvCache::KvCache(int layers, int kv_heads, int head_dim, kernels::Precision precision)
    : width_(kv_heads * head_dim),
      element_(precision == kernels::Precision::kBf16 ? 2 : 4),
      layers_(static_cast<size_t>(layers)) {}

CachedKeys KvCache::keys(int layer) const {
  const Layer& l = layers_[static_cast<size_t>(layer)];
  return {l.keys.data(), l.values.data(),
          element_ == 2 ? kernels::Element::kBf16 : kernels::Element::kF32, capacity_, length_};
}

void KvCache::reserve(int rows) {
  if (rows <= capacity_) return;
  const int capacity = grown(capacity_, rows, expected_);
  for (Layer& layer : layers_) {
    std::vector<std::byte> keys(bytes_of(int64_t{width_} * capacity));
    for (int c = 0; c < width_ && length_ > 0; ++c) {
      std::memcpy(keys.data() + bytes_of(int64_t{c} * capacity),
                  layer.keys.data() + bytes_of(int64_t{c} * capacity_), bytes_of(length_));
    }
    layer.keys = std::move(keys);
    layer.values.resize(bytes_of(int64_t{width_} * capacity));
  }
  capacity_ = capacity;
}

void KvCache::stage(int layer, const float* keys, const float* values, int64_t ld, int rows) {
  reserve(length_ + rows);
  staged_ = rows;
  Layer& l = layers_[static_cast<size_t>(layer)];
  std::byte* values_at = l.values.data() + bytes_of(int64_t{length_} * width_);
  if (element_ == sizeof(float)) {
    scatter(keys, ld, rows, width_, l.keys.data(), capacity_, length_);
    for (int r = 0; r < rows; ++r)
      std::memcpy(values_at + bytes_of(int64_t{r} * width_), values + r * ld, bytes_of(width_));
    return;
  }
  thread_local std::vector<uint16_t> halves;
  halves.resize(static_cast<size_t>(width_) * static_cast<size_t>(rows));
  const auto& kernel = kernels::kernels();
  for (int r = 0; r < rows; ++r) {
    kernel.to_bf16(keys + r * ld, width_, halves.data() + int64_t{r} * width_);
    kernel.to_bf16(values + r * ld, width_,
                   reinterpret_cast<uint16_t*>(values_at) + int64_t{r} * width_);
  }
  scatter(halves.data(), width_, rows, width_, l.keys.data(), capacity_, length_);
}

void KvCache::commit(int rows) {
  ALAMBIC_CHECK(rows >= 0 && rows <= staged_);
  length_ += rows;
  staged_ = 0;
}

void KvCache::truncate(int length) {
  ALAMBIC_CHECK(length >= 0 && length <= length_);
  length_ = length;
  staged_ = 0;
}

void KvCache::copy_from(const KvCache& other, int length) {
  ALAMBIC_CHECK(other.width_ == width_ && other.element_ == element_ &&
                other.layers_.size() == layers_.size() && length <= other.length_);
  truncate(0);
  reserve(length);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& from = other.layers_[i];
    for (int c = 0; c < width_; ++c) {
      std::memcpy(layers_[i].keys.data() + bytes_of(int64_t{c} * capacity_),
                  from.keys.data() + bytes_of(int64_t{c} * other.capacity_), bytes_of(length));
    }
    std::memcpy(layers_[i].values.data(), from.values.data(), bytes_of(int64_t{length} * width_));
  }
  length_ = length;
}

int64_t KvCache::bytes() const {
  return static_cast<int64_t>(layers_.size() * bytes_of(int64_t{2} * width_ * capacity_));
}

}  // namespace alambic
