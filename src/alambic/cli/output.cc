#include "alambic/cli/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

namespace alambic {

void print_result(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EPIPE) {
      throw OutputClosed{};
    } else if (errno != EINTR) {
      fail(ErrorCode::kIo, "[standard output] cannot write: {}",
           std::error_code(errno, std::generic_category()).message());
    }
  }
}

void print_json(const OrderedJson& value, int indent) {
  print_result(dump_json(value, indent) + "\n");
}

void print_json(const Json& value, int indent) { print_result(dump_json(value, indent) + "\n"); }

void print_remark(std::string_view line) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  fmt::print(stderr, "{}{}{}\n", terminal ? "\x1b[2m" : "", line, terminal ? "\x1b[0m" : "");
}

void print_error(std::string_view message) {
  std::string line = "alambic: ";
  bool blank = true;  // runs of white space and control characters become one space
  for (const char c : message) {
    const bool space = static_cast<unsigned char>(c) <= ' ' || c == '\x7f';
    if (!space) line += c;
    if (space && !blank) line += ' ';
    blank = space;
  }
  while (line.ends_with(' ')) line.pop_back();
  fmt::print(stderr, "{}\n", line);
}

}  // namespace alambic
