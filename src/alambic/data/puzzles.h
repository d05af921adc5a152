// Puzzles with generators and verifiers as data: Sudoku, Countdown, long multiplication.
//
// Thread safety: pure functions; the same arguments give the same puzzles on every machine. Errors:
// kInvalidArgument, naming what is wrong.
#pragma once

#include <cstdint>
#include <string_view>

#include "alambic/data/split.h"

namespace alambic {

struct PuzzleOptions {
  int givens_min = 30, givens_max = 55;  // of a Sudoku, drawn evenly
  int numbers = 4;                       // of Countdown
  int digits = 4;                        // of a factor
};

// "sudoku", "countdown" and "multiplication" are sources of puzzles.
bool is_puzzle_source(std::string_view source);
// Puzzles of a source, no two alike: those held out come from streams of their own, and training
// has none of them. kInvalidArgument where so many different ones were not found.
Splits puzzle_splits(std::string_view source, const PuzzleOptions& options, int train,
                     int validation, int test, uint64_t seed);

// Which puzzle a prompt is shows in its form. kInvalidArgument if it is none of them, or if it
// cannot have a solution because its givens contradict each other.
void require_puzzle(std::string_view prompt);
// Whether the answer solves the puzzle; any bytes may stand on both sides.
bool solves_puzzle(std::string_view prompt, std::string_view answer);

}  // namespace alambic
