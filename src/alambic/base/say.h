// What is said to a person beside a command's result.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace alambic {

// Writes to standard error. What cannot be written, with nobody there to read it or no room left
// for it, is lost: words about a job are no reason to end it. For any thread; never throws.
void say_text(std::string_view text) noexcept;

template <class... T>
void say(fmt::format_string<T...> format, T&&... values) {
  say_text(fmt::format(format, std::forward<T>(values)...));
}

}  // namespace alambic
