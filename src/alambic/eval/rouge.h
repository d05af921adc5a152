// ROUGE-L F1 in [0, 1], averaged over examples, as Python's `rouge-score` computes it without
// stemming: lower case, words of a-z and 0-9 (every other character separates), longest common
// subsequence. Pure functions, safe from any thread. Errors: kInvalidArgument where the lists
// differ in length or are empty.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "alambic/eval/interval.h"

namespace alambic {

// F1 of one pair; 0 where either side has no word.
double rouge_l_f1(std::string_view hypothesis, std::string_view reference);

Evidence rouge_l_evidence(std::span<const std::string> hypotheses,
                          std::span<const std::string> references);
Score rouge_l(std::span<const std::string> hypotheses, std::span<const std::string> references);

}  // namespace alambic
