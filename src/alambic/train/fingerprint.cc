#include "alambic/train/fingerprint.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "alambic/base/file.h"

namespace alambic {
namespace {

struct Setting {
  std::string key, value;
};

std::vector<Setting> settings_of(std::string_view text) {
  std::vector<Setting> settings;
  std::string section;
  for (const std::string_view line : split_lines(text)) {
    if (line.starts_with('[')) {
      section = std::string(line.substr(1, line.find(']') - 1)) + ".";
      continue;
    }
    const size_t equals = line.find(" = ");
    if (line.empty()) continue;
    const auto end = std::min(equals, line.size());
    settings.push_back(
        {section + std::string(line.substr(0, end)),
         equals == std::string_view::npos ? "" : std::string(line.substr(equals + 3))});
  }
  return settings;
}

}  // namespace

std::string first_setting_difference(std::string_view was, std::string_view is) {
  const std::vector<Setting> before = settings_of(was), now = settings_of(is);
  for (size_t i = 0; i < std::max(before.size(), now.size()); ++i) {
    if (i == before.size())
      return fmt::format("{} is {} and was not set", now[i].key, now[i].value);
    if (i == now.size() || before[i].key != now[i].key)
      return fmt::format("{} was {} and is not set", before[i].key, before[i].value);
    if (before[i].value != now[i].value)
      return fmt::format("{} was {} and is {}", now[i].key, before[i].value, now[i].value);
  }
  return {};
}

}  // namespace alambic
