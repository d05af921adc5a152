#include "alambic/base/workplace.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "alambic/base/error.h"
#include "alambic/base/file.h"

namespace alambic {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMark = "/partial.txt";

std::string parent_of(const std::string& name) {
  const std::string parent = fs::path(name).parent_path().string();
  return parent.empty() ? "." : parent;
}

void remove_all(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) fail(ErrorCode::kIo, "[{}] cannot be removed: {}", path, error.message());
}

void sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

// What would only come to light at the end, after hours of work.
void check_can_be_swapped(const std::string& name) {
  struct stat own {
  }, above{};
  if (::stat(name.c_str(), &own) != 0 || ::stat(parent_of(name).c_str(), &above) != 0) return;
  if (own.st_dev == above.st_dev && own.st_ino != above.st_ino) return;
  fail(ErrorCode::kInvalidArgument,
       "[{}] is the top of a file system, which nothing can take the place of; name a directory in "
       "it",
       name);
}

// Both names in one step, or where the file system cannot, in two.
void swap_names(const std::string& made, const std::string& name) {
  struct stat old {};
  if (::stat(name.c_str(), &old) == 0) ::chmod(made.c_str(), old.st_mode & 07777);
  if (::renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, name.c_str(), RENAME_EXCHANGE) == 0) return;
  const bool refused = errno == EINVAL || errno == ENOSYS;
  const std::string aside = name + ".replaced";
  if (!refused || ::rename(name.c_str(), aside.c_str()) != 0 ||
      ::rename(made.c_str(), name.c_str()) != 0 || ::rename(aside.c_str(), made.c_str()) != 0) {
    fail(ErrorCode::kIo, "[{}] cannot take the place of {}: {}", made, name, system_reason());
  }
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
  return text;
}

}  // namespace

std::string settled_name(const std::string& name) {
  if (name.empty()) fail(ErrorCode::kInvalidArgument, "got an empty name; want a place to write");
  std::string plain = name;
  while (plain.size() > 1 && plain.back() == '/') plain.pop_back();
  std::error_code error;
  const fs::path path(plain);
  const bool no_name = path.filename() == "." || path.filename() == ".." || path.filename() == "/";
  if (no_name || fs::is_symlink(path, error)) {
    const fs::path real = fs::weakly_canonical(path, error);
    if (!error) return real.string();
  }
  return plain;
}

bool is_temporary_name(const std::string& file_name) {
  const size_t at = file_name.rfind(".tmp.");
  return at != std::string::npos && at + 5 < file_name.size() &&
         std::all_of(file_name.begin() + static_cast<std::ptrdiff_t>(at) + 5, file_name.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

bool is_taken(const std::string& name) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(name, error))) return false;
  if (!fs::is_directory(name, error)) return true;
  fs::directory_iterator entries(name, error);
  if (error) fail(ErrorCode::kIo, "[{}] cannot be looked into: {}", name, error.message());
  return std::any_of(begin(entries), end(entries), [](const fs::directory_entry& entry) {
    return !is_temporary_name(entry.path().filename().string());
  });
}

void settle_swap(const std::string& name) {
  const std::string mark = name + kMark, left = Workplace::path_for(name);
  if (!file_exists(mark)) return;
  if (!file_exists(left + kMark)) remove_all(left);
  ::unlink(mark.c_str());
}

std::string Workplace::path_for(const std::string& name) { return name + ".partial"; }

bool Workplace::is_begun(const std::string& name) { return file_exists(path_for(name) + kMark); }

Workplace::Workplace(const std::string& name, Begin begin) : name_(name), path_(path_for(name)) {
  check_can_be_swapped(name);
  const std::string mark = path_ + kMark;
  if (!file_exists(mark) && is_taken(path_)) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] is where {} would be made, and holds something else; move it away", path_, name);
  }
  std::error_code unmade;
  fs::create_directories(path_, unmade);
  if (unmade) fail(ErrorCode::kIo, "[{}] cannot be made: {}", name, unmade.message());
  const auto take = [&] {
    lock_ = ::open(mark.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock_ < 0) fail(ErrorCode::kIo, "[{}] cannot be made: {}", name, system_reason());
    if (::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(lock_);
      fail(ErrorCode::kInvalidArgument, "[{}] another alambic is making {} there", path_, name);
    }
  };
  take();
  if (begin == Begin::kAnew) {
    // All but the mark, which holds the lock.
    std::vector<fs::path> old;
    for (const auto& entry : fs::directory_iterator(path_)) {
      if (entry.path().filename() != mark.substr(path_.size() + 1)) old.push_back(entry.path());
    }
    for (const fs::path& path : old) remove_all(path.string());
  }
  const std::string text =
      fmt::format("Not finished yet. What is made here takes the place of {} when it is whole.\n",
                  fs::path(name).filename().string());
  if (::ftruncate(lock_, 0) != 0 ||
      ::pwrite(lock_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    const std::string why = system_reason();
    ::close(lock_);
    fail(ErrorCode::kIo, "[{}] cannot write: {}", mark, why);
  }
}

Workplace::~Workplace() {
  if (lock_ >= 0) ::close(lock_);
}

void Workplace::publish() {
  sync_directory(path_);
  struct stat info {};
  const bool there = ::lstat(name_.c_str(), &info) == 0;
  if (there) {
    swap_names(path_, name_);
  } else if (::rename(path_.c_str(), name_.c_str()) != 0) {
    fail(ErrorCode::kIo, "[{}] cannot take the name {}: {}", path_, name_, system_reason());
  }
  sync_directory(parent_of(name_));
  if (there) remove_all(path_);
  ::unlink((name_ + kMark).c_str());
}

void Workplace::discard() { remove_all(path_); }

void check_free(const std::string& given, Made made) {
  const std::string name = settled_name(given);
  settle_swap(name);
  if (is_taken(name)) {
    fail(ErrorCode::kInvalidArgument, "[{}] exists already; name another place", given);
  }
  std::error_code error;
  if (made == Made::kFile && fs::is_directory(name, error)) {
    fail(ErrorCode::kInvalidArgument, "[{}] is a directory; want the name of a file", given);
  }
  check_can_be_swapped(name);
}

void make_beside(const std::string& given, Made made,
                 const std::function<void(const std::string& path)>& work) {
  const std::string name = settled_name(given);
  check_free(given, made);
  Workplace place(name, Workplace::Begin::kAnew);
  std::string path = place.path();
  if (made == Made::kFile) path += "/" + fs::path(name).filename().string();
  try {
    work(path);
    if (made == Made::kDirectory) {
      place.publish();
    } else {
      if (::rename(path.c_str(), name.c_str()) != 0)
        fail(ErrorCode::kIo, "[{}] cannot take its name: {}", name, system_reason());
      place.discard();
    }
  } catch (const Error& error) {
    place.discard();
    throw Error(error.code(), replaced(replaced(error.what(), path, given), place.path(), given));
  } catch (...) {
    place.discard();
    throw;
  }
}

}  // namespace alambic
