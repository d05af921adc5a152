#include "alambic/data/multiplication.h"

#include <fmt/format.h>

#include "alambic/base/error.h"

namespace alambic {
namespace {

constexpr int kMostFactorDigits = 8;

int64_t power_of_ten(int exponent) {
  int64_t power = 1;
  for (int i = 0; i < exponent; ++i) power *= 10;
  return power;
}

// `digits` digits, the least significant one first.
std::string reversed_digits(int64_t value, int digits) {
  std::string text;
  for (int i = 0; i < digits; ++i, value /= 10) text += static_cast<char>('0' + value % 10);
  return text;
}

std::optional<int64_t> parse_factor(std::string_view text) {
  int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace

Example make_multiplication(int digits, Rng& rng) {
  if (digits < 2 || digits > kMostFactorDigits) {
    fail(ErrorCode::kInvalidArgument, "[multiplication] factors of {} digits; want 2 to {}", digits,
         kMostFactorDigits);
  }
  const int64_t least = power_of_ten(digits - 1);
  const auto factor = [&] {
    return least + static_cast<int64_t>(rng.below(static_cast<uint64_t>(9 * least)));
  };
  const int64_t left = factor(), right = factor();
  return {.prompt = fmt::format("{}*{}", left, right),
          .completion = long_multiplication({left, right, digits})};
}

std::string long_multiplication(const Multiplication& task) {
  std::string text;
  int64_t rest = task.right, power = 1, sum = 0;
  for (int i = 0; i < task.digits; ++i, rest /= 10, power *= 10) {
    const int width = task.digits + 1 + i;
    const int64_t partial = task.left * (rest % 10) * power;
    sum += partial;
    if (i > 0) text += '+';
    text += reversed_digits(partial, width);
    if (i == task.digits - 1) {
      text += '=' + reversed_digits(sum, width);
    } else if (i > 0) {
      text += '(' + reversed_digits(sum, width) + ')';
    }
  }
  return text;
}

std::optional<Multiplication> parse_multiplication(std::string_view text) {
  const size_t sign = text.find('*');
  if (sign == std::string_view::npos || sign == 0 || sign > kMostFactorDigits ||
      text.size() != 2 * sign + 1)
    return std::nullopt;
  const auto left = parse_factor(text.substr(0, sign)), right = parse_factor(text.substr(sign + 1));
  if (!left || !right) return std::nullopt;
  return Multiplication{*left, *right, static_cast<int>(sign)};
}

bool solves_multiplication(std::string_view puzzle, std::string_view answer) {
  const auto task = parse_multiplication(puzzle);
  if (!task) return false;
  const size_t equals = answer.rfind('=');
  const std::string_view product =
      equals == std::string_view::npos ? answer : answer.substr(equals + 1);
  return product == reversed_digits(task->left * task->right, 2 * task->digits);
}

}  // namespace alambic
