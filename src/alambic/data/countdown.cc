#include "alambic/data/countdown.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include "alambic/base/error.h"

namespace alambic {
namespace {

constexpr int kSmallestTarget = 10, kLargestTarget = 100, kLargestNumber = 99;
constexpr int64_t kLargestResult = 9999;  // of a step
constexpr size_t kMostNumbers = 8, kMostDigits = 4;

// a op b by the rules; nothing where they forbid it.
std::optional<int64_t> combine(int64_t a, char op, int64_t b) {
  switch (op) {
    case '+':
      return a + b;
    case '-':
      return a > b ? std::optional(a - b) : std::nullopt;
    case '*':
      return a * b;
    case '/':
      return b != 0 && a % b == 0 ? std::optional(a / b) : std::nullopt;
    default:
      return std::nullopt;
  }
}

// Takes a number without leading zeros, of at most kMostDigits digits, off the front of `text`.
std::optional<int64_t> take_number(std::string_view& text) {
  size_t n = 0;
  while (n < text.size() && text[n] >= '0' && text[n] <= '9') ++n;
  if (n == 0 || n > kMostDigits || (n > 1 && text[0] == '0')) return std::nullopt;
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + n, value);
  text.remove_prefix(n);
  return value;
}

bool take_sign(std::string_view& text, char sign) {
  if (text.empty() || text.front() != sign) return false;
  text.remove_prefix(1);
  return true;
}

bool take_from(std::vector<int64_t>& numbers, int64_t number) {
  const auto it = std::find(numbers.begin(), numbers.end(), number);
  if (it == numbers.end()) return false;
  numbers.erase(it);
  return true;
}

}  // namespace

Example make_countdown(int numbers, Rng& rng) {
  if (numbers < 3 || numbers > 5) {
    fail(ErrorCode::kInvalidArgument, "[countdown] {} numbers; want 3, 4 or 5", numbers);
  }
  for (;;) {
    std::vector<int64_t> left;
    left.reserve(static_cast<size_t>(numbers));
    std::string prompt, steps;
    for (int i = 0; i < numbers; ++i) {
      left.push_back(1 + static_cast<int64_t>(rng.below(kLargestNumber)));
      prompt += fmt::format("{}{}", i > 0 ? "," : "", left.back());
    }
    while (left.size() > 1) {
      rng.shuffle(left);
      const int64_t a = std::max(left[0], left[1]), b = std::min(left[0], left[1]);
      constexpr std::array<char, 4> kSigns = {'+', '-', '*', '/'};
      const char sign = kSigns[rng.below(kSigns.size())];
      const auto result = combine(a, sign, b);
      if (!result || *result > kLargestResult) break;
      steps += fmt::format("{}{}{}{}={}", steps.empty() ? "" : ",", a, sign, b, *result);
      left.erase(left.begin());
      left[0] = *result;
    }
    if (left.size() > 1 || left[0] < kSmallestTarget || left[0] > kLargestTarget) continue;
    return {.prompt = fmt::format("{}:{}", prompt, left[0]), .completion = std::move(steps)};
  }
}

std::optional<Countdown> parse_countdown(std::string_view text) {
  Countdown puzzle;
  do {
    const auto number = take_number(text);
    if (!number || puzzle.numbers.size() == kMostNumbers) return std::nullopt;
    puzzle.numbers.push_back(static_cast<int>(*number));
  } while (take_sign(text, ','));
  if (puzzle.numbers.size() < 2 || !take_sign(text, ':')) return std::nullopt;
  const auto target = take_number(text);
  if (!target || !text.empty()) return std::nullopt;
  puzzle.target = static_cast<int>(*target);
  return puzzle;
}

bool solves_countdown(std::string_view puzzle, std::string_view answer) {
  const auto parsed = parse_countdown(puzzle);
  if (!parsed) return false;
  std::vector<int64_t> left(parsed->numbers.begin(), parsed->numbers.end());
  while (left.size() > 1) {
    const auto a = take_number(answer);
    if (!a || answer.empty()) return false;
    const char sign = answer.front();
    answer.remove_prefix(1);
    const auto b = take_number(answer);
    if (!b || !take_sign(answer, '=')) return false;
    const auto said = take_number(answer);
    if (!said || !take_from(left, *a) || !take_from(left, *b) || combine(*a, sign, *b) != said)
      return false;
    left.push_back(*said);
    if (left.size() > 1 && !take_sign(answer, ',')) return false;
  }
  return answer.empty() && left.front() == parsed->target;
}

}  // namespace alambic
