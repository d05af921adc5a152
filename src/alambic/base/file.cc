#include "alambic/base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "alambic/base/error.h"

namespace alambic {
namespace {

// The thread-safe text of the current errno.
[[noreturn]] void fail_open(const std::string& path) {
  const auto code = errno == ENOENT || errno == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo;
  fail(code, "[{}] cannot open: {}", path, system_reason());
}

// An open descriptor that closes itself.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

size_t regular_size(int fd, const std::string& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) fail(ErrorCode::kIo, "[{}] cannot stat: {}", path, system_reason());
  if (S_ISDIR(info.st_mode)) {
    fail(ErrorCode::kInvalidArgument, "[{}] is a directory; want a file", path);
  }
  return static_cast<size_t>(info.st_size);
}

}  // namespace

std::string read_file(const std::string& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) fail_open(path);
  std::string content;
  content.reserve(regular_size(file.fd, path));
  char buffer[1 << 16];
  for (;;) {
    const ssize_t n = ::read(file.fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(ErrorCode::kIo, "[{}] cannot read: {}", path, system_reason());
    if (n == 0) return content;
    content.append(buffer, static_cast<size_t>(n));
  }
}

std::string read_maybe_gzip(const std::string& path) {
  std::string raw = read_file(path);
  if (raw.size() < 2 || raw[0] != '\x1f' || raw[1] != '\x8b') return raw;
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) fail(ErrorCode::kIo, "[{}] zlib failed", path);
  constexpr size_t kMaxInflated = size_t{4} << 30;
  constexpr size_t kPiece = size_t{1} << 30;  // zlib counts in 32 bits
  std::string content;
  char buffer[1 << 16];
  size_t at = 0;
  int status = Z_OK;
  while (status == Z_OK) {
    const size_t given = std::min(raw.size() - at, kPiece);
    stream.next_in = reinterpret_cast<Bytef*>(raw.data() + at);
    stream.avail_in = static_cast<uInt>(given);
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof buffer;
    status = inflate(&stream, Z_NO_FLUSH);
    at += given - stream.avail_in;
    content.append(buffer, sizeof buffer - stream.avail_out);
    if (content.size() > kMaxInflated) break;
    if (status != Z_STREAM_END) continue;
    // Zeros fill up blocks, as tar and tapes leave them; behind them may come another member.
    while (at < raw.size() && raw[at] == '\0') ++at;
    if (at < raw.size()) status = inflateReset(&stream);
  }
  inflateEnd(&stream);
  if (content.size() > kMaxInflated) {
    fail(ErrorCode::kResourceExhausted, "[{}] holds more than {} GB; want it in smaller files",
         path, kMaxInflated >> 30);
  }
  if (status != Z_STREAM_END) {
    fail(ErrorCode::kCorruptData, "[{}] gzip stream is truncated or damaged at byte {}", path, at);
  }
  return content;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    lines.push_back(line);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  struct stat info {};
  const bool there = ::stat(path_.c_str(), &info) == 0;
  if (there && S_ISDIR(info.st_mode)) {
    fail(ErrorCode::kInvalidArgument, "[{}] is a directory; want the name of a file", path_);
  }
  if (there && !S_ISREG(info.st_mode)) {  // a device or pipe must stay what it is
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
  } else {
    std::error_code error;
    if (there && std::filesystem::is_symlink(path_, error))
      path_ = std::filesystem::canonical(path_, error).string();  // links stay links
    temporary_ = fmt::format("{}.tmp.{}", path_, ::getpid());
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  }
  if (fd_ < 0) fail_open(path_);
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t size) {
  const char* p = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::write(fd_, p, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(ErrorCode::kIo, "[{}] cannot write: {}", path_, system_reason());
    p += n;
    size -= static_cast<size_t>(n);
  }
}

void AtomicFile::commit() {
  if (temporary_.empty()) {
    ::close(fd_);
    fd_ = -1;
    return;
  }
  if (::fsync(fd_) != 0) fail(ErrorCode::kIo, "[{}] cannot sync: {}", path_, system_reason());
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    fail(ErrorCode::kIo, "[{}] cannot rename into place: {}", path_, system_reason());
  }
  ::close(fd_);
  fd_ = -1;
  const std::string parent = std::filesystem::path(path_).parent_path().string();
  const Descriptor directory{
      ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (directory.fd >= 0) ::fsync(directory.fd);
}

void write_file_atomic(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content.data(), content.size());
  file.commit();
}

bool file_exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

void make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) fail(ErrorCode::kIo, "[{}] cannot create the directory: {}", path, error.message());
}

MappedFile::MappedFile(const std::string& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) fail_open(path);
  size_ = regular_size(file.fd, path);
  if (size_ == 0) return;
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (address == MAP_FAILED) fail(ErrorCode::kIo, "[{}] cannot map: {}", path, system_reason());
  data_ = static_cast<const std::byte*>(address);
}

void MappedFile::forget(std::span<const std::byte> part) const {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGE_SIZE));
  const auto begin = static_cast<size_t>(part.data() - data_);
  const size_t first = (begin + page - 1) / page * page, last = (begin + part.size()) / page * page;
  if (first < last) ::madvise(const_cast<std::byte*>(data_) + first, last - first, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace alambic
