// Errors that a user can act on, and checks for our own bugs.
//
// User and data errors throw alambic::Error with one line "[where] what; got X, want Y". The
// program prints that line, no stack trace, and ends with exit_status(code). ALAMBIC_CHECK is for
// programmer errors only: it aborts and must never be reachable from user input. Thread safety:
// everything here is stateless.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace alambic {

enum class ErrorCode {
  kInvalidArgument,    // a flag, recipe key or request that cannot be carried out
  kNotFound,           // a file, directory or name that does not exist
  kCorruptData,        // a file that breaks its own format
  kIo,                 // the operating system refused: full disk, permissions
  kUnsupported,        // well formed, but outside what alambic does
  kResourceExhausted,  // too large for this machine
  kInterrupted,        // Ctrl-C; what was stored stays stored
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// The one map from code to process exit status.
int exit_status(ErrorCode code);

template <class... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// Why the last system call failed, in words, from errno.
std::string system_reason();

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace alambic

#define ALAMBIC_CHECK(condition) \
  ((condition) ? (void)0 : ::alambic::check_failed(#condition, __FILE__, __LINE__))
