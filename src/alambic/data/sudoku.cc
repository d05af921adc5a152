#include "alambic/data/sudoku.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>
#include <vector>

#include "alambic/base/error.h"

namespace alambic {
namespace {

constexpr uint16_t kAllDigits = 0x1ff;  // bit d - 1 stands for digit d

struct Units {
  int row, column, box;
};

constexpr Units units_of(int cell) {
  const int row = cell / 9, column = cell % 9;
  return {row, column, row / 3 * 3 + column / 3};
}

uint16_t bit_of(int digit) { return static_cast<uint16_t>(1U << (digit - 1)); }

// Depth-first search; at most 81 deep.
class SudokuSearch {
 public:
  // `forbidden_cell` must not hold `forbidden_digit`; -1: no such rule.
  SudokuSearch(const SudokuGrid& grid, Rng* rng, int forbidden_cell = -1, int forbidden_digit = 0)
      : grid_(grid), rng_(rng), forbidden_cell_(forbidden_cell), forbidden_(forbidden_digit) {
    for (int cell = 0; cell < kSudokuCells; ++cell) {
      const int digit = grid_[static_cast<size_t>(cell)];
      if (digit == 0) {
        blanks_.push_back(cell);
        continue;
      }
      if (digit > 9 || (candidates(cell) & bit_of(digit)) == 0) possible_ = false;
      if (possible_) take(cell, bit_of(digit));
    }
  }

  int count(int limit) {
    limit_ = limit;
    if (possible_ && limit > 0) descend(blanks_.size());
    return found_;
  }
  const SudokuGrid& solution() const { return solution_; }

 private:
  uint16_t candidates(int cell) const {
    const Units u = units_of(cell);
    auto open = static_cast<uint16_t>(rows_[u.row] & columns_[u.column] & boxes_[u.box]);
    if (cell == forbidden_cell_) open = static_cast<uint16_t>(open & ~bit_of(forbidden_));
    return open;
  }
  void take(int cell, uint16_t bit) { flip(cell, bit); }
  void put_back(int cell, uint16_t bit) { flip(cell, bit); }
  void flip(int cell, uint16_t bit) {
    const Units u = units_of(cell);
    rows_[u.row] = static_cast<uint16_t>(rows_[u.row] ^ bit);
    columns_[u.column] = static_cast<uint16_t>(columns_[u.column] ^ bit);
    boxes_[u.box] = static_cast<uint16_t>(boxes_[u.box] ^ bit);
  }

  // The first `open` of blanks_ are still to be filled.
  void descend(size_t open) {
    if (open == 0) {
      if (found_++ == 0) solution_ = grid_;
      return;
    }
    size_t best = 0;
    int fewest = 10;
    for (size_t i = 0; i < open && fewest > 1; ++i) {
      const int n = std::popcount(candidates(blanks_[i]));
      if (n < fewest) {
        fewest = n;
        best = i;
      }
    }
    if (fewest == 0) return;
    std::swap(blanks_[best], blanks_[open - 1]);
    const int cell = blanks_[open - 1];
    std::array<uint8_t, 9> order{};
    int n = 0;
    for (uint16_t left = candidates(cell); left != 0;
         left = static_cast<uint16_t>(left & (left - 1)))
      order[static_cast<size_t>(n++)] = static_cast<uint8_t>(std::countr_zero(left) + 1);
    if (rng_ != nullptr) {
      for (int i = n; i > 1; --i) {
        std::swap(order[static_cast<size_t>(i - 1)], order[rng_->below(static_cast<uint64_t>(i))]);
      }
    }
    for (int i = 0; i < n && found_ < limit_; ++i) {
      const int digit = order[static_cast<size_t>(i)];
      take(cell, bit_of(digit));
      grid_[static_cast<size_t>(cell)] = static_cast<uint8_t>(digit);
      descend(open - 1);
      put_back(cell, bit_of(digit));
    }
    grid_[static_cast<size_t>(cell)] = 0;
  }

  static constexpr std::array<uint16_t, 9> kNothingTaken = {kAllDigits, kAllDigits, kAllDigits,
                                                            kAllDigits, kAllDigits, kAllDigits,
                                                            kAllDigits, kAllDigits, kAllDigits};
  SudokuGrid grid_, solution_{};
  Rng* rng_;
  int forbidden_cell_, forbidden_;
  std::array<uint16_t, 9> rows_ = kNothingTaken, columns_ = kNothingTaken, boxes_ = kNothingTaken;
  std::vector<int> blanks_;
  bool possible_ = true;
  int limit_ = 0, found_ = 0;
};

// Empties cells of a full grid in random order while its solution stays the only one.
std::optional<SudokuGrid> emptied(const SudokuGrid& full, int givens, Rng& rng) {
  SudokuGrid puzzle = full;
  std::vector<int> order(kSudokuCells);
  std::iota(order.begin(), order.end(), 0);
  rng.shuffle(order);
  int left = kSudokuCells;
  for (const int cell : order) {
    if (left == givens) break;
    uint8_t& place = puzzle[static_cast<size_t>(cell)];
    const uint8_t digit = std::exchange(place, uint8_t{0});
    if (SudokuSearch(puzzle, nullptr, cell, digit).count(1) > 0) {
      place = digit;
    } else {
      --left;
    }
  }
  if (left != givens) return std::nullopt;
  return puzzle;
}

}  // namespace

std::optional<SudokuGrid> solve_sudoku(const SudokuGrid& grid, Rng* rng) {
  SudokuSearch search(grid, rng);
  if (search.count(1) == 0) return std::nullopt;
  return search.solution();
}

int count_sudoku_solutions(const SudokuGrid& grid, int limit) {
  return SudokuSearch(grid, nullptr).count(limit);
}

Sudoku make_sudoku(int givens, Rng& rng) {
  if (givens < kFewestGivens || givens > kSudokuCells) {
    fail(ErrorCode::kInvalidArgument, "[sudoku] {} givens; want {} to {}", givens, kFewestGivens,
         kSudokuCells);
  }
  for (;;) {
    const SudokuGrid full = *solve_sudoku({}, &rng);
    if (const auto puzzle = emptied(full, givens, rng)) return {*puzzle, full};
  }
}

std::string to_text(const SudokuGrid& grid) {
  std::string text(grid.size(), '0');
  std::transform(grid.begin(), grid.end(), text.begin(),
                 [](uint8_t digit) { return static_cast<char>('0' + digit); });
  return text;
}

std::optional<SudokuGrid> parse_sudoku(std::string_view text) {
  SudokuGrid grid{};
  if (text.size() != grid.size()) return std::nullopt;
  for (size_t i = 0; i < grid.size(); ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    grid[i] = static_cast<uint8_t>(text[i] - '0');
  }
  return grid;
}

void require_no_clash(const SudokuGrid& grid) {
  std::array<std::array<bool, 10>, 27> seen{};
  for (int cell = 0; cell < kSudokuCells; ++cell) {
    const size_t digit = grid[static_cast<size_t>(cell)];
    if (digit == 0) continue;
    const Units u = units_of(cell);
    const std::pair<const char*, int> places[] = {
        {"row", u.row}, {"column", u.column}, {"box", u.box}};
    for (size_t kind = 0; kind < 3; ++kind) {
      bool& taken = seen[kind * 9 + static_cast<size_t>(places[kind].second)][digit];
      if (taken) {
        fail(ErrorCode::kInvalidArgument,
             "[sudoku] the givens contradict each other: {} stands twice in {} {}", digit,
             places[kind].first, places[kind].second + 1);
      }
      taken = true;
    }
  }
}

bool solves_sudoku(std::string_view puzzle, std::string_view answer) {
  const auto given = parse_sudoku(puzzle), filled = parse_sudoku(answer);
  if (!given || !filled) return false;
  std::array<uint16_t, 27> seen{};
  for (int cell = 0; cell < kSudokuCells; ++cell) {
    const auto i = static_cast<size_t>(cell);
    if ((*filled)[i] == 0 || ((*given)[i] != 0 && (*given)[i] != (*filled)[i])) return false;
    const Units u = units_of(cell);
    const uint16_t bit = bit_of((*filled)[i]);
    for (const int unit : {u.row, 9 + u.column, 18 + u.box}) {
      uint16_t& digits = seen[static_cast<size_t>(unit)];
      if ((digits & bit) != 0) return false;
      digits = static_cast<uint16_t>(digits | bit);
    }
  }
  return true;
}

}  // namespace alambic
