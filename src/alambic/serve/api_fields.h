// Reading one JSON object of a request: typed, bounded, and with an account of what was asked for,
// so that a field which nobody reads is refused and not ignored. A field that is null counts as
// absent.
//
// Ownership: looks at the object. Thread safety: one object, one thread. Errors: ApiError with
// status 400 that names the field.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/serve/api_error.h"

namespace alambic {

template <class... Args>
[[noreturn]] void refuse(const std::string& param, fmt::format_string<Args...> format,
                         Args&&... args) {
  throw ApiError(
      400, fmt::format("{}: {}", param, fmt::format(format, std::forward<Args>(args)...)), param);
}

// For error lines: short, whatever the value.
std::string shown(const OrderedJson& value);

// A whole number, also where it is written as 1000.0.
std::optional<int64_t> whole_number(const OrderedJson& value);

class Fields {
 public:
  explicit Fields(const OrderedJson& object, std::string prefix = "")
      : object_(object), prefix_(std::move(prefix)) {}

  std::string name(std::string_view key) const { return prefix_ + std::string(key); }
  // Null where it is absent.
  const OrderedJson* find(std::string_view key);
  std::optional<int64_t> integer(const char* key, int64_t low, int64_t high);
  double number(const char* key, double fallback, double low, double high);
  bool boolean(const char* key, bool fallback);
  std::string text(const char* key);

  // A field that this server does not carry out; `neutral` lists, in JSON, the values that ask for
  // nothing and are let pass.
  struct Unsupported {
    const char* key;
    std::vector<const char*> neutral;
  };
  void refuse_unsupported(std::initializer_list<Unsupported> list);
  // Fields that change no text.
  void let_pass(std::initializer_list<const char*> keys);
  // Call last: refuses what was neither asked for nor let pass.
  void refuse_unknown() const;

 private:
  const OrderedJson& object_;
  std::string prefix_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace alambic
