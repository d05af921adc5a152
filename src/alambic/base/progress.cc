#include "alambic/base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <utility>

#include "alambic/base/printable.h"
#include "alambic/base/say.h"

namespace alambic {
namespace {

const Stopwatch since_start;
// On since_start, of the last progress line of anybody's.
std::atomic<double> last_line{0};

}  // namespace

std::string format_duration(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  if (s >= 3600) return fmt::format("{} h {:02} min", s / 3600, s % 3600 / 60);
  if (s >= 60) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} s", s);
}

Progress::Progress(std::string label, int64_t total)
    : label_(std::move(label)), total_(total), terminal_(::isatty(STDERR_FILENO) == 1) {
  label_ = printable(label_);
}

Progress::~Progress() {
  if (terminal_ && printed_) std::fputc('\n', stderr);
}

void Progress::update(int64_t done, std::string_view detail) {
  const double now = watch_.seconds();
  if (first_done_ < 0) first_done_ = done;
  const double interval = terminal_ ? 0.2 : 10.0;
  const bool last = done >= total_;
  if (now < 1.0 || (now - last_print_ < interval && !(last && printed_))) return;
  last_print_ = now;
  last_line = since_start.seconds();
  printed_ = true;
  const auto moved = static_cast<double>(done - first_done_);
  const double left = moved > 0 ? now * static_cast<double>(total_ - done) / moved : 0;
  const std::string line =
      fmt::format("{} {:3.0f}% {}/{} {}{}{}", label_,
                  100.0 * static_cast<double>(done) / std::max<int64_t>(1, total_), done, total_,
                  detail, detail.empty() ? "" : " · ",
                  last ? "took " + format_duration(now) : format_duration(left) + " left");
  say("{}{}{}", terminal_ ? "\r\x1b[K" : "", line, terminal_ ? "" : "\n");
  std::fflush(stderr);
}

Heartbeat::Heartbeat(std::string what)
    : what_(std::move(what)), terminal_(::isatty(STDERR_FILENO) == 1) {
  what_ = printable(what_);
  thread_ = std::thread([this] { beat(); });
}

Heartbeat::~Heartbeat() { end(); }

void Heartbeat::end() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
  }
  ended_.notify_all();
  thread_.join();
  if (terminal_ && shown_) say("\r\x1b[K");
}

void Heartbeat::beat() {
  const double pause = terminal_ ? 1 : 2;
  // Longer than a progress line lets wait for its next.
  const double silence = terminal_ ? 5 : 12;
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, std::chrono::duration<double>(pause), [this] { return done_; })) {
    const double quiet = std::min(watch_.seconds(), since_start.seconds() - last_line);
    if (quiet < (terminal_ && shown_ ? pause / 2 : silence)) continue;
    shown_ = true;
    if (!terminal_) last_line = since_start.seconds();
    say("{}{}: {}{}", terminal_ ? "\r\x1b[K" : "", what_, format_duration(watch_.seconds()),
        terminal_ ? "" : "\n");
    std::fflush(stderr);
  }
}

}  // namespace alambic
