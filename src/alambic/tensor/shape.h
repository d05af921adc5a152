// The extents of a tensor, held in place: shapes are made and dropped for every operation, so they
// own no memory. At most four dimensions; files may have more, and are read with vectors.
// Errors: kCorruptData for more dimensions than that.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "alambic/base/error.h"

namespace alambic {

class Shape {
 public:
  static constexpr size_t kMost = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents)
      : Shape(std::span(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const int64_t> extents) : size_(extents.size()) {
    if (size_ > kMost) {
      fail(ErrorCode::kCorruptData, "[shape] {} dimensions; want at most {}", size_, kMost);
    }
    std::copy(extents.begin(), extents.end(), extents_);
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  int64_t operator[](size_t i) const { return extents_[i]; }
  int64_t back() const { return extents_[size_ - 1]; }
  const int64_t* begin() const { return extents_; }
  const int64_t* end() const { return extents_ + size_; }
  std::vector<int64_t> vector() const { return {begin(), end()}; }

  friend bool operator==(const Shape& a, std::span<const int64_t> b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }
  friend bool operator==(const Shape& a, const Shape& b) { return a == std::span(b); }

 private:
  int64_t extents_[kMost] = {};
  size_t size_ = 0;
};

}  // namespace alambic
