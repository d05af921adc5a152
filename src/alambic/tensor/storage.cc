#include "alambic/tensor/storage.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include "alambic/base/error.h"

namespace alambic {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

// Rounds up to a multiple of an eighth of the size's power of two: at most 12.5 % waste.
size_t rounded(size_t bytes) {
  if (bytes <= 4096) return (bytes + 255) / 256 * 256 + (bytes == 0 ? 256 : 0);
  const size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

size_t mapped_bytes(size_t capacity) {
  constexpr size_t kPage = 4096;
  return (capacity + kPage - 1) / kPage * kPage;
}

void release(std::byte* block, size_t capacity) {
  if (capacity >= kHugePage) {
    ::munmap(block, mapped_bytes(capacity));
  } else {
    std::free(block);
  }
}

struct Cache {
  std::mutex mutex;
  struct SizeClass {
    std::vector<std::byte*> blocks;
    uint64_t last_use = 0;
  };
  std::map<size_t, SizeClass> classes;
  int64_t live = 0, cached = 0, peak = 0;
  uint64_t uses = 0;

  void count_live(size_t capacity) {
    live += static_cast<int64_t>(capacity);
    peak = std::max(peak, live);
  }
  // Keeps what a training step reuses: everything up to the most that was ever live. Beyond that,
  // the sizes that were used longest ago go back to the system.
  void trim() {
    constexpr int64_t kSlack = int64_t{128} << 20;
    while (cached > 0 && live + cached > peak + kSlack) {
      auto oldest = classes.end();
      for (auto it = classes.begin(); it != classes.end(); ++it) {
        if (it->second.blocks.empty()) continue;
        if (oldest == classes.end() || it->second.last_use < oldest->second.last_use) oldest = it;
      }
      release(oldest->second.blocks.back(), oldest->first);
      oldest->second.blocks.pop_back();
      cached -= static_cast<int64_t>(oldest->first);
    }
  }
};

Cache& cache() {
  static Cache* instance = new Cache;  // outlives every static tensor
  return *instance;
}

size_t machine_bytes() {
  static const size_t bytes = static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) *
                              static_cast<size_t>(::sysconf(_SC_PAGE_SIZE));
  return bytes;
}

// Large blocks are mapped one by one: what is freed goes back to the system whole, where the C
// library's heap would keep the holes between longer-lived blocks.
std::byte* map_block(size_t capacity) {
  const size_t room = capacity + kHugePage;  // to find an aligned beginning in
  void* mapped = ::mmap(nullptr, room, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* begin = static_cast<std::byte*>(mapped);
  const auto address = reinterpret_cast<uintptr_t>(begin);
  const size_t before = (kHugePage - address % kHugePage) % kHugePage;
  if (before > 0) ::munmap(begin, before);
  std::byte* block = begin + before;
  const size_t used = mapped_bytes(capacity);
  if (const size_t after = room - before - used; after > 0) ::munmap(block + used, after);
  ::madvise(block, used, MADV_HUGEPAGE);
  return block;
}

std::byte* allocate(size_t capacity) {
  std::byte* block = nullptr;
  // A block beyond the machine's memory is refused here: the system may promise it and then kill
  // the process.
  if (capacity <= machine_bytes()) {
    block = capacity >= kHugePage ? map_block(capacity)
                                  : static_cast<std::byte*>(std::aligned_alloc(64, capacity));
  }
  if (block == nullptr) {
    fail(ErrorCode::kResourceExhausted,
         "[memory] cannot allocate {} MiB; use a smaller model or batch", capacity >> 20);
  }
  return block;
}

}  // namespace

Storage::Storage(size_t bytes) : data_(nullptr), capacity_(rounded(bytes)) {
  Cache& shared = cache();
  {
    const std::lock_guard lock(shared.mutex);
    Cache::SizeClass& same = shared.classes[capacity_];
    same.last_use = ++shared.uses;
    if (!same.blocks.empty()) {
      data_ = same.blocks.back();
      same.blocks.pop_back();
      shared.cached -= static_cast<int64_t>(capacity_);
      shared.count_live(capacity_);
      return;
    }
  }
  data_ = allocate(capacity_);
  const std::lock_guard lock(shared.mutex);
  shared.count_live(capacity_);
  shared.trim();
}

Storage::Storage(const std::byte* data, std::shared_ptr<const void> owner)
    : data_(const_cast<std::byte*>(data)), capacity_(0), owner_(std::move(owner)) {}

Storage::~Storage() {
  if (owner_ != nullptr) return;
  Cache& shared = cache();
  const std::lock_guard lock(shared.mutex);
  shared.live -= static_cast<int64_t>(capacity_);
  shared.classes[capacity_].blocks.push_back(data_);
  shared.cached += static_cast<int64_t>(capacity_);
  shared.trim();
}

void release_cached_memory() {
  Cache& shared = cache();
  const std::lock_guard lock(shared.mutex);
  for (auto& [capacity, same] : shared.classes) {
    for (std::byte* block : same.blocks) release(block, capacity);
    shared.cached -= static_cast<int64_t>(capacity * same.blocks.size());
    same.blocks.clear();
  }
}

int64_t live_bytes() {
  const std::lock_guard lock(cache().mutex);
  return cache().live;
}

int64_t cached_bytes() {
  const std::lock_guard lock(cache().mutex);
  return cache().cached;
}

}  // namespace alambic
