// Checks of what was typed behind an option, with error lines that a person can act on.
// Thread safety: stateless.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

namespace alambic {

// A finite number from `least` to `most`.
CLI::Validator number_within(double least, double most);
// A finite number from 0.
CLI::Validator at_least_zero();

// Any text but none.
CLI::Validator not_empty();

// --seed: 0 to 2^64 - 1 in decimal digits.
void add_seed_option(CLI::App& verb, uint64_t& seed, const std::string& help);

}  // namespace alambic
