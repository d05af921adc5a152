// What a teacher's answers are worth: told apart, counted, and summed up in words.
//
// Thread safety: values and pure functions. Errors: none.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "alambic/data/reasoning.h"
#include "alambic/data/signal.h"

namespace alambic {

struct JudgedAnswer {
  AnswerKind kind = AnswerKind::kGood;
  std::string text;       // without reasoning and the white space around it
  std::string reasoning;  // of whole <think> blocks, joined by blank lines
  bool thought = false;   // whether there was any block, an unclosed one too
};

// `written`: all that was written, to its end or `cut` off at a limit. "<think>…</think>" blocks
// are reasoning; so is what stands before a "</think>" that nothing opened, because a template may
// have written the opening mark. With an unclosed block there is no answer (kReasoning).
JudgedAnswer judge_answer(std::string_view written, bool cut);

// A whole trace in front of the answer, as models write it.
std::string with_reasoning(std::string_view reasoning, std::string_view text);

// The limits that answers can run into, and what they are called where the reader sets them.
struct AnswerLimits {
  int max_new_tokens = 128, max_tokens = 512;
  const char* new_tokens_name = "signals.max_new_tokens";
  const char* tokens_name = "data.max_tokens";
};

class AnswerTally {
 public:
  void add(AnswerKind kind, int64_t count = 1) { counts_[static_cast<size_t>(kind)] += count; }
  int64_t count(AnswerKind kind) const { return counts_[static_cast<size_t>(kind)]; }
  int64_t all() const;
  int64_t left_out() const { return all() - count(AnswerKind::kGood); }
  // All but the good ones: "12 cut off, 5 empty"; "" where all are good.
  std::string left_out_in_words() const;
  // "200 asked: 180 answers, 12 cut off at 128 tokens (raise signals.max_new_tokens), 5 empty".
  // `asked`: "asked", or what else the rows were.
  std::string in_words(const AnswerLimits& limits, std::string_view asked) const;
  // Where more than a tenth is not good: one line with the most likely cause, else "".
  std::string warning(const AnswerLimits& limits) const;
  // What most of those that are left out have in common; "" where nothing is.
  std::string cause(const AnswerLimits& limits) const;

 private:
  std::array<int64_t, kAnswerKinds> counts_{};
};

}  // namespace alambic
