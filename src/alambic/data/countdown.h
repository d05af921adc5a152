// Countdown: reach a target from given numbers, each used once, by + - * / (the task of
// Stream-of-Search, arXiv 2404.03683, and of arXiv 2410.14157).
//
// The puzzle "15,44,79:50" is answered by steps that use up what there is until one number is left,
// the target: "44-15=29,79-29=50". Differences are positive and divisions come out even. The
// generator combines random numbers from 1 to 99 at random until the result lies in 10 to 100; the
// verifier takes any derivation that follows the rules, in any order.
//
// Thread safety: pure functions. Errors: kInvalidArgument for wishes that cannot be met; the
// verifier takes any bytes and throws nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/rng.h"
#include "alambic/data/example.h"

namespace alambic {

struct Countdown {
  std::vector<int> numbers;
  int target = 0;
};

// With `numbers` numbers, 3 to 5, and one derivation as its answer.
Example make_countdown(int numbers, Rng& rng);
// Nothing unless the text has this form: 2 to 8 numbers of at most 4 digits, and a target.
std::optional<Countdown> parse_countdown(std::string_view text);
bool solves_countdown(std::string_view puzzle, std::string_view answer);

}  // namespace alambic
