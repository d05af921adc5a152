#include "alambic/base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace alambic {

std::string format_duration(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  if (s >= 3600) return fmt::format("{} h {:02} min", s / 3600, s % 3600 / 60);
  if (s >= 60) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} s", s);
}

Progress::Progress(std::string label, int64_t total)
    : label_(std::move(label)), total_(total), terminal_(::isatty(STDERR_FILENO) == 1) {}

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
  printed_ = true;
  const auto moved = static_cast<double>(done - first_done_);
  const double left = moved > 0 ? now * static_cast<double>(total_ - done) / moved : 0;
  const std::string line =
      fmt::format("{} {:3.0f}% {}/{} {}{}{}", label_,
                  100.0 * static_cast<double>(done) / std::max<int64_t>(1, total_), done, total_,
                  detail, detail.empty() ? "" : " · ",
                  last ? "took " + format_duration(now) : format_duration(left) + " left");
  fmt::print(stderr, "{}{}{}", terminal_ ? "\r\x1b[K" : "", line, terminal_ ? "" : "\n");
  std::fflush(stderr);
}

}  // namespace alambic
