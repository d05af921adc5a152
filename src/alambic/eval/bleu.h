// Corpus BLEU in [0, 100] with one reference, as `sacrebleu` computes it by default: mteval-13a
// tokens, 4-grams, exponential smoothing of empty orders, case-sensitive. Its interval resamples
// sentence statistics. Pure functions, safe from any thread. Errors: kInvalidArgument where the
// lists differ in length or are empty.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/eval/interval.h"

namespace alambic {

// The words of `text` as mteval-13a cuts them.
std::vector<std::string> tokenize_13a(std::string_view text);

Evidence bleu_evidence(std::span<const std::string> hypotheses,
                       std::span<const std::string> references);
Score bleu(std::span<const std::string> hypotheses, std::span<const std::string> references);

}  // namespace alambic
