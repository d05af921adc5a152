// Long multiplication of two numbers with the same count of digits.
//
// "123*456" is answered by "8370+05160(88860)+002940=880650": one partial product for each digit of
// the second factor, its last digit first, shifted to where it belongs, and behind each but the
// first the sum so far, of which the last is the product. Every number has its least significant
// digit first and zeros behind, so that carries run in reading order, digits that are added stand
// at the same place of their numbers, and answers of one size have one length. That is the form of
// Deng et al. (arXiv 2311.01460) without its blanks. The verifier asks for the right product and
// leaves the way there free.
//
// Thread safety: pure functions. Errors: kInvalidArgument for wishes that cannot be met; the
// verifier takes any bytes and throws nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "alambic/base/rng.h"
#include "alambic/data/example.h"

namespace alambic {

struct Multiplication {
  int64_t left = 0, right = 0;
  int digits = 0;
};

// Factors of 2 to 8 digits, the first of which is not 0.
Example make_multiplication(int digits, Rng& rng);
// The answer in the form above.
std::string long_multiplication(const Multiplication& task);
// Nothing unless the text is two factors of the same 1 to 8 digits.
std::optional<Multiplication> parse_multiplication(std::string_view text);
bool solves_multiplication(std::string_view puzzle, std::string_view answer);

}  // namespace alambic
