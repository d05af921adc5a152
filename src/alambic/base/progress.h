// A progress line on standard error: rewritten in place on a terminal, one line every few seconds
// elsewhere. Silent when the work is over before a second has passed. One object, one thread.
// Heartbeat is for work that cannot say how far it is.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace alambic {

// "1 h 05 min", "3 min 20 s", "12 s".
std::string format_duration(double seconds);

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class Progress {
 public:
  Progress(std::string label, int64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  // `detail` stands behind the percentage and before the time left.
  void update(int64_t done, std::string_view detail = {});

 private:
  std::string label_;
  int64_t total_, first_done_ = -1;
  Stopwatch watch_;
  double last_print_ = 0;
  bool terminal_, printed_ = false;
};

// Says on standard error that `what` goes on, and since when: after some seconds, wherever no
// progress line was written for as long. Has a thread of its own.
class Heartbeat {
 public:
  explicit Heartbeat(std::string what);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;
  void end();  // before something else is written to the terminal

 private:
  void beat();

  std::string what_;
  Stopwatch watch_;
  bool terminal_, shown_ = false, done_ = false;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::thread thread_;
};

}  // namespace alambic
