// The memory cache behind tensors: blocks are rounded up to one of a few sizes per octave and kept
// for reuse. Thread safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace alambic {

class Storage {
 public:
  explicit Storage(size_t bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  std::byte* data() { return data_; }

 private:
  std::byte* data_;
  size_t capacity_;
};

int64_t live_bytes();
int64_t cached_bytes();

}  // namespace alambic
