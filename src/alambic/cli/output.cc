#include "alambic/cli/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "alambic/base/printable.h"
#include "alambic/base/say.h"

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
  print_result(printable_json(dump_json(value, indent)) + "\n");
}

void print_json(const Json& value, int indent) {
  print_result(printable_json(dump_json(value, indent)) + "\n");
}

void print_remark(std::string_view line) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  say("{}{}{}\n", terminal ? "\x1b[2m" : "", printable(line), terminal ? "\x1b[0m" : "");
}

void print_error(std::string_view message) {
  std::string words;
  bool blank = true;  // runs of white space become one space
  for (const char c : message) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    if (!space) words += c;
    if (space && !blank) words += ' ';
    blank = space;
  }
  while (words.ends_with(' ')) words.pop_back();
  say("alambic: {}\n", printable(words));
}

}  // namespace alambic
