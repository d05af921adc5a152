#include "alambic/data/puzzles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "alambic/base/error.h"
#include "alambic/data/countdown.h"
#include "alambic/data/multiplication.h"
#include "alambic/data/sudoku.h"

namespace alambic {
namespace {

std::string refusal(const auto& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// Counts completions by trying every digit in every blank, with the rules and nothing else.
int plain_count(SudokuGrid& grid, int cell, int limit) {
  while (cell < kSudokuCells && grid[static_cast<size_t>(cell)] != 0) ++cell;
  if (cell == kSudokuCells) return 1;
  int found = 0;
  for (int digit = 1; digit <= 9 && found < limit; ++digit) {
    bool free = true;
    for (int other = 0; other < kSudokuCells; ++other) {
      const bool peers = other / 9 == cell / 9 || other % 9 == cell % 9 ||
                         (other / 27 == cell / 27 && other % 9 / 3 == cell % 9 / 3);
      free = free && !(peers && grid[static_cast<size_t>(other)] == digit);
    }
    if (!free) continue;
    grid[static_cast<size_t>(cell)] = static_cast<uint8_t>(digit);
    found += plain_count(grid, cell + 1, limit - found);
    grid[static_cast<size_t>(cell)] = 0;
  }
  return found;
}

TEST(Sudoku, GeneratedPuzzlesHaveTheGivensAskedForAndOneSolution) {
  for (const int givens : {kFewestGivens, 30, 40, 55, 80, 81}) {
    Rng rng(3, static_cast<uint64_t>(givens));
    const Sudoku made = make_sudoku(givens, rng);
    EXPECT_EQ(kSudokuCells - std::count(made.puzzle.begin(), made.puzzle.end(), 0), givens);
    EXPECT_TRUE(solves_sudoku(to_text(made.puzzle), to_text(made.solution)));
    EXPECT_EQ(solve_sudoku(made.puzzle), made.solution);
    SudokuGrid copy = made.puzzle;
    EXPECT_EQ(plain_count(copy, 0, 2), 1) << givens;
  }
}

TEST(Sudoku, SolutionsAreCountedUpToTheLimit) {
  Rng rng(5);
  Sudoku made = make_sudoku(30, rng);
  EXPECT_EQ(count_sudoku_solutions(made.puzzle, 2), 1);
  EXPECT_EQ(count_sudoku_solutions({}, 7), 7);
  // A digit that its row holds already leaves none.
  const auto blank = static_cast<size_t>(std::find(made.puzzle.begin(), made.puzzle.end(), 0) -
                                         made.puzzle.begin());
  const size_t row = blank / 9 * 9;
  const auto given = std::find_if(made.puzzle.begin() + static_cast<std::ptrdiff_t>(row),
                                  made.puzzle.begin() + static_cast<std::ptrdiff_t>(row + 9),
                                  [](uint8_t digit) { return digit != 0; });
  made.puzzle[blank] = *given;
  EXPECT_EQ(count_sudoku_solutions(made.puzzle, 2), 0);
  EXPECT_NE(refusal([&] { require_no_clash(made.puzzle); }).find("stands twice in row"),
            std::string::npos);
}

TEST(Sudoku, AnAnswerMustKeepTheGivensAndTheRules) {
  Rng rng(6);
  const Sudoku made = make_sudoku(40, rng);
  const std::string puzzle = to_text(made.puzzle), solution = to_text(made.solution);
  for (size_t i = 0; i < solution.size(); ++i) {
    std::string wrong = solution;
    wrong[i] = wrong[i] == '9' ? '1' : static_cast<char>(wrong[i] + 1);
    EXPECT_FALSE(solves_sudoku(puzzle, wrong)) << i;
  }
  // Another grid by the rules, with digits renamed.
  std::string renamed = solution;
  for (char& c : renamed) c = c == '9' ? '1' : static_cast<char>(c + 1);
  EXPECT_TRUE(solves_sudoku(std::string(81, '0'), renamed));
  EXPECT_FALSE(solves_sudoku(puzzle, renamed));
}

TEST(Countdown, EveryGeneratedDerivationIsTaken) {
  for (const int numbers : {3, 4, 5}) {
    for (uint64_t i = 0; i < 200; ++i) {
      Rng rng(7, i);
      const Example e = make_countdown(numbers, rng);
      EXPECT_TRUE(solves_countdown(e.prompt, e.completion)) << e.prompt << " " << e.completion;
      const auto puzzle = parse_countdown(e.prompt);
      ASSERT_TRUE(puzzle);
      EXPECT_EQ(puzzle->numbers.size(), static_cast<size_t>(numbers));
      EXPECT_TRUE(puzzle->target >= 10 && puzzle->target <= 100);
    }
  }
}

TEST(Countdown, AnyValidDerivationIsTakenAndNoOther) {
  EXPECT_TRUE(solves_countdown("15,44,79:50", "44-15=29,79-29=50"));
  EXPECT_TRUE(solves_countdown("2,3,4:24", "2*3=6,6*4=24"));
  EXPECT_TRUE(solves_countdown("2,3,4:24", "4*2=8,3*8=24"));
  for (const char* wrong :
       {"2*3=6,6*4=25", "2*3=6", "2*3=6,6*4=24,", "2*3=6,6*4=24,24+0=24", "2*3=6,3*4=24", "8*3=24",
        "2*3=06,6*4=24", "2*3=7,7*4=24", "2-3=-1,1*4=4", " 2*3=6,6*4=24", "2*3=6;6*4=24", ""}) {
    EXPECT_FALSE(solves_countdown("2,3,4:24", wrong)) << wrong;
  }
  EXPECT_FALSE(solves_countdown("5,2,1:2", "5/2=2,2*1=2"));
  EXPECT_FALSE(solves_countdown("5,5,1:1", "5-5=0,0+1=1"));  // differences are positive
}

TEST(Multiplication, PartialProductsAddUpToTheAnswer) {
  EXPECT_EQ(long_multiplication({12, 34, 2}), "840+0630=8040");
  EXPECT_EQ(long_multiplication({123, 456, 3}), "8370+05160(88860)+002940=880650");
  for (const int digits : {4, 5}) {
    for (uint64_t i = 0; i < 100; ++i) {
      Rng rng(8, i);
      const Example e = make_multiplication(digits, rng);
      EXPECT_TRUE(solves_multiplication(e.prompt, e.completion));
      const long long left = std::stoll(e.prompt);
      long long right = std::stoll(e.prompt.substr(e.prompt.find('*') + 1));
      const long long product = left * right;
      // Numbers in the order of writing: a partial product, then in turn another and the sum.
      size_t at = 0;
      const auto number = [&] {
        const size_t end = e.completion.find_first_not_of("0123456789", at);
        const std::string part = e.completion.substr(at, end - at);
        at = e.completion.find_first_of("0123456789", end);
        return std::stoll(std::string(part.rbegin(), part.rend()));
      };
      long long sum = 0, power = 1;
      for (int k = 0; k < digits; ++k, power *= 10, right /= 10) {
        const long long partial = number();
        EXPECT_EQ(partial, left * (right % 10) * power);
        sum += partial;
        if (k > 0) {
          EXPECT_EQ(number(), sum);
        }
      }
      EXPECT_EQ(sum, product);
      EXPECT_EQ(at, std::string::npos);
    }
  }
  EXPECT_TRUE(solves_multiplication("12*34", "8040"));
  EXPECT_FALSE(solves_multiplication("12*34", "408"));
  EXPECT_FALSE(solves_multiplication("12*34", "840+0630=8041"));
}

TEST(Puzzles, VerifiersTakeAnyBytes) {
  const std::string_view alphabet = "0123456789+-*/=,:.\n\xff\x00 a";
  Rng rng(9);
  const auto noise = [&] {
    std::string text(rng.below(100), '0');
    for (char& c : text) c = alphabet[rng.below(alphabet.size())];
    return text;
  };
  std::vector<std::string> prompts = {std::string(81, '0'), "15,44,79:50", "1234*5678",
                                      "99999999*99999999", "9999,9999,9999,9999,9999,9999:1"};
  for (int i = 0; i < 20000; ++i) {
    const std::string prompt = i % 2 == 0 ? noise() : prompts[rng.below(prompts.size())];
    std::string answer = noise();
    if (i % 3 == 0 && !prompt.empty()) answer = "9999*9999=9999," + answer;
    EXPECT_FALSE(solves_puzzle(prompt, answer)) << prompt << " | " << answer;
  }
}

TEST(Puzzles, HeldOutPuzzlesAreNotTrainedOnAndAllAreSolved) {
  for (const char* source : {"sudoku", "countdown", "multiplication"}) {
    const Splits splits = puzzle_splits(source, {.numbers = 3}, 60, 20, 30, 11);
    EXPECT_EQ(splits.train.size(), 60U);
    EXPECT_EQ(splits.validation.size(), 20U);
    EXPECT_EQ(splits.test.size(), 30U);
    std::set<std::string> seen;
    for (const auto* part : {&splits.train, &splits.validation, &splits.test}) {
      for (const Example& e : *part) {
        EXPECT_TRUE(seen.insert(e.prompt).second) << e.prompt;
        EXPECT_TRUE(solves_puzzle(e.prompt, e.completion)) << e.prompt;
        EXPECT_EQ(refusal([&] { require_puzzle(e.prompt); }), "");
      }
    }
    EXPECT_EQ(puzzle_splits(source, {.numbers = 3}, 60, 20, 30, 11).train, splits.train);
  }
}

TEST(Puzzles, WhatCannotBeMadeOrSolvedIsRefused) {
  EXPECT_NE(refusal([] { puzzle_splits("sudoku", {.givens_min = 20}, 1, 0, 0, 1); }), "");
  EXPECT_NE(
      refusal([] { puzzle_splits("sudoku", {.givens_min = 50, .givens_max = 40}, 1, 0, 0, 1); }),
      "");
  EXPECT_NE(refusal([] { puzzle_splits("countdown", {.numbers = 9}, 1, 0, 0, 1); }), "");
  EXPECT_NE(refusal([] { puzzle_splits("multiplication", {.digits = 1}, 1, 0, 0, 1); }), "");
  // There are 8,100 products of two digits by two.
  EXPECT_NE(refusal([] {
              puzzle_splits("multiplication", {.digits = 2}, 9000, 0, 0, 1);
            }).find("not to be found"),
            std::string::npos);
  EXPECT_NE(refusal([] { require_puzzle("What is 2 + 2?"); }), "");
  std::string clash(81, '0');
  clash[0] = clash[80 / 9 * 9] = '5';
  EXPECT_NE(refusal([&] { require_puzzle(clash); }).find("5 stands twice in column 1"),
            std::string::npos);
}

}  // namespace
}  // namespace alambic
