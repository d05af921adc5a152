// Long multiplication of two numbers with the same count of digits.
//
// "12*34" is answered by "840,630=80400": one partial product for each digit of the second factor,
// its last digit first, each with one digit more than a factor has, then the product with twice as
// many; every number with its least significant digit first and zeros behind, so that carries run
// in reading order and answers of one size have one length. The verifier asks for the right product
// and leaves the way there free.
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
