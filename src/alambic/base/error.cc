#include "alambic/base/error.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace alambic {

int exit_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return 2;
    case ErrorCode::kNotFound:
      return 3;
    case ErrorCode::kCorruptData:
      return 4;
    case ErrorCode::kIo:
      return 5;
    case ErrorCode::kUnsupported:
      return 6;
    case ErrorCode::kResourceExhausted:
      return 7;
    case ErrorCode::kInterrupted:
      return 130;
  }
  return 1;
}

std::string system_reason() { return std::error_code(errno, std::generic_category()).message(); }

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "alambic: bug: %s does not hold at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace alambic
