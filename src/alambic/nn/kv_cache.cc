#include "alambic/nn/kv_cache.h"

#include <algorithm>

#include "alambic/base/error.h"

namespace alambic {

KvCache::KvCache(int layers, int kv_heads, int head_dim)
    : width_(kv_heads * head_dim), layers_(static_cast<size_t>(layers)) {}

CachedKeys KvCache::keys(int layer) const {
  const Layer& l = layers_[static_cast<size_t>(layer)];
  return {l.keys.data(), l.values.data(), capacity_, length_};
}

void KvCache::reserve(int rows) {
  if (rows <= capacity_) return;
  const int capacity =
      std::max(rows, std::max(48, capacity_ * 2 + 16));  // odd multiples of 16: see Columns
  for (Layer& layer : layers_) {
    std::vector<float> keys(static_cast<size_t>(width_) * capacity);
    for (int c = 0; c < width_ && length_ > 0; ++c) {
      std::copy_n(layer.keys.data() + static_cast<int64_t>(c) * capacity_, length_,
                  keys.data() + static_cast<int64_t>(c) * capacity);
    }
    layer.keys = std::move(keys);
    layer.values.resize(static_cast<size_t>(width_) * capacity);
  }
  capacity_ = capacity;
}

void KvCache::stage(int layer, const float* keys, const float* values, int64_t ld, int rows) {
  reserve(length_ + rows);
  staged_ = rows;
  Layer& l = layers_[static_cast<size_t>(layer)];
  for (int r = 0; r < rows; ++r) {
    const int64_t at = length_ + r;
    for (int c = 0; c < width_; ++c)
      l.keys[static_cast<size_t>(int64_t{c} * capacity_ + at)] = keys[r * ld + c];
    std::copy_n(values + r * ld, width_, l.values.data() + at * width_);
  }
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

int64_t KvCache::bytes() const {
  return static_cast<int64_t>(layers_.size()) * 2 * width_ * capacity_ *
         static_cast<int64_t>(sizeof(float));
}

}  // namespace alambic
