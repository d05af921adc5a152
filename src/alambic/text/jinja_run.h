// What one rendering of a template may use up, and where it stands: every helper of the interpreter
// takes a Run, pays for its work there and reports errors through it. Templates and conversations
// are hostile, so steps, nesting and sizes are bounded. One object, one rendering, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>

#include "alambic/base/error.h"

namespace alambic::jinja {

inline constexpr int64_t kMaxSteps = 10'000'000;
inline constexpr size_t kMaxTextBytes = size_t{16} << 20;
inline constexpr size_t kMaxItems = size_t{1} << 20;  // of one list
inline constexpr int kMaxRange = 100'000;             // as the sandbox of jinja2
inline constexpr int kMaxCallDepth = 1000;            // of expressions, statements and macros
inline constexpr int kMaxValueDepth = 250;            // of lists within lists

class Run {
 public:
  Run(std::string_view where, std::time_t now) : where_(where), now_(now) {}
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  void step(size_t count = 1) {
    steps_ += static_cast<int64_t>(count);
    if (steps_ > kMaxSteps) exhausted("more than 10 million steps");
  }
  // Text costs steps too, which bounds memory: a step pays for some thirty bytes.
  void pay_for_text(size_t bytes) {
    if (bytes > kMaxTextBytes) exhausted("a text of more than 16 MiB");
    step(2 + bytes / 32);
  }
  void pay_for_items(size_t count) {
    if (count > kMaxItems) exhausted("a list of more than a million items");
    step(count);
  }

  // Held while a nested call runs.
  class Nested {
   public:
    explicit Nested(Run& run) : run_(run) {
      if (++run_.depth_ > kMaxCallDepth) {
        --run_.depth_;
        run_.exhausted("calls nested too deep");
      }
    }
    ~Nested() { --run_.depth_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    Run& run_;
  };

  void at_line(int line) { line_ = line; }
  int line() const { return line_; }
  std::time_t now() const { return now_; }

  // Values that do not fit what the template does with them.
  template <class... Args>
  [[noreturn]] void wrong(fmt::format_string<Args...> format, Args&&... args) const {
    report(ErrorCode::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...));
  }
  // What jinja2 could do and this interpreter does not.
  template <class... Args>
  [[noreturn]] void unsupported(fmt::format_string<Args...> format, Args&&... args) const {
    report(ErrorCode::kUnsupported,
           fmt::format(format, std::forward<Args>(args)...) + " is not supported");
  }
  [[noreturn]] void exhausted(const char* what) const {
    report(ErrorCode::kResourceExhausted, fmt::format("the template asks for {}", what));
  }

 private:
  [[noreturn]] void report(ErrorCode code, const std::string& message) const {
    fail(code, "[{}:{}] {}", where_, line_, message);
  }

  std::string_view where_;
  std::time_t now_;
  int line_ = 1;
  int depth_ = 0;
  int64_t steps_ = 0;
};

}  // namespace alambic::jinja
