// The memory cache behind tensors: blocks are rounded up to one of a few sizes per octave and kept
// for reuse. Memory of others, such as a mapped file, is lent and only looked at. Thread safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace alambic {

class Storage {
 public:
  explicit Storage(size_t bytes);
  // Lent: `owner` keeps the bytes alive. Never written.
  Storage(const std::byte* data, std::shared_ptr<const void> owner);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  std::byte* data() { return data_; }

 private:
  std::byte* data_;
  size_t capacity_;
  std::shared_ptr<const void> owner_;
};

// Gives everything in the cache back to the system: after work whose sizes will not come again.
void release_cached_memory();
int64_t live_bytes();
int64_t cached_bytes();

}  // namespace alambic
