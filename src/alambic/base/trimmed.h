// A text without the white space around it.
#pragma once

#include <string_view>

namespace alambic {

// Without spaces, tabs and line ends at both ends. A view into `text`.
constexpr std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

}  // namespace alambic
