// Files: whole reads (plain or gzip), atomic durable writes, read-only memory maps.
// Every function throws Error naming the path: kNotFound, kIo, or kCorruptData for a broken gzip
// stream.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace alambic {

std::string read_file(const std::string& path);
// Reads `path`, inflating it if it starts with the gzip magic: all its members; zeros behind them
// are padding.
std::string read_maybe_gzip(const std::string& path);
// Splits at \n, drops a trailing \r and the empty piece after the last newline.
std::vector<std::string_view> split_lines(std::string_view text);

// Writes a temporary file beside `path`, syncs it and renames it over `path`: a reader sees the old
// content or the new, never a part, whatever is killed when. A failed write removes the temporary
// file. A link stays one; a device or pipe is written to.
void write_file_atomic(const std::string& path, std::string_view content);

// The same protocol in pieces, for content too large to build in memory. Without commit(), nothing
// remains.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(const void* data, size_t size);
  void commit();

 private:
  std::string path_, temporary_;  // no temporary file: a device or pipe
  int fd_ = -1;
};

bool file_exists(const std::string& path);
void make_directories(const std::string& path);

// A read-only view of a whole file; pages are read on first touch. Movable owner of the mapping.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Lets go of the memory behind a part that will hardly be read again; reading it again works.
  void forget(std::span<const std::byte> part) const;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace alambic
