// 9×9 Sudoku: a solver, a generator of puzzles with exactly one solution, a verifier.
//
// A grid is 81 cells in reading order, 0 where blank; as text, its 81 digits. The solver keeps, for
// each row, column and box, the set of digits it still lacks, and always branches on the cell with
// the fewest candidates. The generator fills a grid at random and then empties cells in random
// order as long as the solution stays the only one.
//
// Thread safety: pure functions. Errors: kInvalidArgument for wishes that cannot be met and for
// givens that contradict each other; the verifier takes any bytes and throws nothing.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "alambic/base/rng.h"

namespace alambic {

inline constexpr int kSudokuCells = 81;
// Puzzles with fewer givens exist, but emptying at random hardly ever finds one.
inline constexpr int kFewestGivens = 26;

using SudokuGrid = std::array<uint8_t, kSudokuCells>;

struct Sudoku {
  SudokuGrid puzzle, solution;
};

// A solution of the grid, or none. Digits are tried in an order drawn from `rng`, or ascending.
std::optional<SudokuGrid> solve_sudoku(const SudokuGrid& grid, Rng* rng = nullptr);
// Solutions of the grid, but no more than `limit`.
int count_sudoku_solutions(const SudokuGrid& grid, int limit);

// A puzzle with so many givens and one solution; kInvalidArgument unless givens is kFewestGivens to
// 81.
Sudoku make_sudoku(int givens, Rng& rng);

std::string to_text(const SudokuGrid& grid);
// Nothing unless the text is 81 digits.
std::optional<SudokuGrid> parse_sudoku(std::string_view text);

// kInvalidArgument, naming the digit and where, if a digit stands twice in a row, column or box.
void require_no_clash(const SudokuGrid& grid);
// Whether the answer is a complete grid by the rules that keeps every given of the puzzle.
bool solves_sudoku(std::string_view puzzle, std::string_view answer);

}  // namespace alambic
