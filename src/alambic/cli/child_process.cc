#include "alambic/cli/child_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

#include "alambic/base/error.h"
#include "alambic/base/interrupt.h"

extern char** environ;

namespace alambic {
namespace {

std::string reason(int error) { return std::error_code(error, std::generic_category()).message(); }

std::string read_all(int fd) {
  std::string text;
  char buffer[1 << 14];
  for (;;) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return text;
    text.append(buffer, static_cast<size_t>(n));
  }
}

}  // namespace

std::string run_self(const std::vector<std::string>& arguments) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    fail(ErrorCode::kIo, "[bench] cannot make a pipe: {}", reason(errno));
  std::vector<std::string> words{"alambic"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  pid_t child = 0;
  const int error =
      ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  std::string text = error == 0 ? read_all(ends[0]) : "";
  ::close(ends[0]);
  if (error != 0)
    fail(ErrorCode::kIo, "[bench] cannot start a measuring process: {}", reason(error));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  throw_if_interrupted("bench", "no figures were kept");
  if (WIFSIGNALED(status)) {
    fail(ErrorCode::kResourceExhausted,
         "[bench] the measuring process was killed by signal {}; is there enough memory?",
         WTERMSIG(status));
  }
  if (text.empty())
    fail(ErrorCode::kIo, "[bench] the measuring process ended with status {}", WEXITSTATUS(status));
  return text;
}

}  // namespace alambic
