#include "alambic/cli/checks.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

namespace alambic {
namespace {

std::optional<double> number(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const char* begin = text.starts_with('+') ? text.data() + 1 : text.data();
  const auto [at, error] = std::from_chars(begin, end, value);
  if (error != std::errc() || at != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

}  // namespace

CLI::Validator number_within(double least, double most) {
  const std::string range = fmt::format("{} to {}", least, most);
  return CLI::Validator(
      [=](std::string& text) {
        const auto value = number(text);
        return value && *value >= least && *value <= most
                   ? std::string()
                   : fmt::format("got \"{}\"; want a number from {}", text, range);
      },
      "in " + range);
}

CLI::Validator at_least_zero() {
  return CLI::Validator(
      [](std::string& text) {
        const auto value = number(text);
        return value && *value >= 0 ? std::string()
                                    : fmt::format("got \"{}\"; want a number from 0", text);
      },
      "from 0");
}

CLI::Validator not_empty() {
  return CLI::Validator(
      [](std::string& text) {
        return text.empty() ? std::string("got an empty name") : std::string();
      },
      "");
}

void add_seed_option(CLI::App& verb, uint64_t& seed, const std::string& help) {
  verb.add_option_function<std::string>(
          "--seed",
          [&seed](const std::string& text) {
            const char* end = text.data() + text.size();
            const auto [at, error] = std::from_chars(text.data(), end, seed);
            if (error == std::errc() && at == end) return;
            throw CLI::ValidationError(
                "--seed", fmt::format("got \"{}\"; want a whole number from 0 to {}", text,
                                      std::numeric_limits<uint64_t>::max()));
          },
          help)
      ->type_name("NUMBER")
      ->default_str(std::to_string(seed));
}

}  // namespace alambic
