#include "alambic/data/puzzles.h"

#include <fmt/format.h>

#include <string>
#include <unordered_set>

#include "alambic/base/error.h"
#include "alambic/base/thread_pool.h"
#include "alambic/data/countdown.h"
#include "alambic/data/multiplication.h"
#include "alambic/data/sudoku.h"

namespace alambic {
namespace {

constexpr int kMostPuzzles = 10'000'000;

Example make_puzzle(std::string_view source, const PuzzleOptions& options, Rng rng) {
  if (source == "countdown") return make_countdown(options.numbers, rng);
  if (source == "multiplication") return make_multiplication(options.digits, rng);
  const int span = options.givens_max - options.givens_min + 1;
  const int more = static_cast<int>(rng.below(static_cast<uint64_t>(span)));
  const Sudoku sudoku = make_sudoku(options.givens_min + more, rng);
  return {.prompt = to_text(sudoku.puzzle), .completion = to_text(sudoku.solution)};
}

void check_options(std::string_view source, const PuzzleOptions& o) {
  if (source == "sudoku" && (o.givens_min < kFewestGivens || o.givens_max > kSudokuCells ||
                             o.givens_min > o.givens_max)) {
    fail(ErrorCode::kInvalidArgument, "[sudoku] {} to {} givens; want a range within {} to {}",
         o.givens_min, o.givens_max, kFewestGivens, kSudokuCells);
  }
  // What the other generators refuse, before any thread is at work.
  Rng probe;
  if (source == "countdown") make_countdown(o.numbers, probe);
  if (source == "multiplication") make_multiplication(o.digits, probe);
}

std::vector<Example> draw_puzzles(std::string_view source, const PuzzleOptions& options, int count,
                                  const Rng& stream, std::string_view prefix,
                                  std::unordered_set<std::string>& seen) {
  if (count < 0 || count > kMostPuzzles) {
    fail(ErrorCode::kInvalidArgument, "[{}] {} puzzles; want 0 to {}", source, count, kMostPuzzles);
  }
  const auto wanted = static_cast<size_t>(count);
  std::vector<Example> puzzles;
  puzzles.reserve(wanted);
  constexpr int kMostRounds = 20;
  uint64_t drawn = 0;
  for (int round = 0; puzzles.size() < wanted; ++round) {
    if (round == kMostRounds) {
      fail(ErrorCode::kInvalidArgument, "[{}] {} different puzzles were not to be found, {} were",
           source, count, puzzles.size());
    }
    std::vector<Example> fresh(wanted - puzzles.size());
    parallel_for(static_cast<int64_t>(fresh.size()), [&](int64_t i) {
      fresh[static_cast<size_t>(i)] =
          make_puzzle(source, options, stream.fork(drawn + static_cast<uint64_t>(i)));
    });
    drawn += fresh.size();
    for (Example& puzzle : fresh) {
      if (!seen.insert(puzzle.prompt).second) continue;
      puzzle.id = fmt::format("{}-{}", prefix, puzzles.size() + 1);
      puzzles.push_back(std::move(puzzle));
    }
  }
  return puzzles;
}

}  // namespace

bool is_puzzle_source(std::string_view source) {
  return source == "sudoku" || source == "countdown" || source == "multiplication";
}

Splits puzzle_splits(std::string_view source, const PuzzleOptions& options, int train,
                     int validation, int test, uint64_t seed) {
  check_options(source, options);
  std::unordered_set<std::string> seen;
  Splits splits;
  splits.test = draw_puzzles(source, options, test, Rng(seed, 1), "test", seen);
  splits.validation = draw_puzzles(source, options, validation, Rng(seed, 2), "validation", seen);
  splits.train = draw_puzzles(source, options, train, Rng(seed, 3), "train", seen);
  return splits;
}

void require_puzzle(std::string_view prompt) {
  if (const auto grid = parse_sudoku(prompt)) {
    require_no_clash(*grid);
  } else if (!parse_countdown(prompt) && !parse_multiplication(prompt)) {
    fail(ErrorCode::kInvalidArgument,
         "[puzzle] \"{}\" is none that can be verified; want a Sudoku of 81 digits (0: blank), "
         "numbers and a target such as 15,44,79:50, or factors such as 1234*5678",
         prompt.substr(0, 100));
  }
}

bool solves_puzzle(std::string_view prompt, std::string_view answer) {
  return solves_sudoku(prompt, answer) || solves_countdown(prompt, answer) ||
         solves_multiplication(prompt, answer);
}

}  // namespace alambic
