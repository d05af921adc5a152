// Scores of whole answers: accuracy, exact match, perplexity. Each is a fraction in [0, 1] but
// perplexity. Pure functions, safe from any thread. Errors: kInvalidArgument where lists differ in
// length or are empty, or where a likelihood is not a finite number.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/eval/interval.h"

namespace alambic {

// Fails with kInvalidArgument unless there is one answer for each reference, and at least one.
void require_same_count(std::string_view where, size_t answers, size_t references);

// The pieces of `text` between runs of Unicode white space; none is empty. Views into `text`.
std::vector<std::string_view> split_words(std::string_view text);
// The words joined by single spaces.
std::string normalise_whitespace(std::string_view text);

// Share of answers that are the label, byte for byte.
Evidence accuracy_evidence(std::span<const std::string> answers,
                           std::span<const std::string> labels);
Score accuracy(std::span<const std::string> answers, std::span<const std::string> labels);

// Share of hypotheses that equal their reference up to white space.
Evidence exact_match_evidence(std::span<const std::string> hypotheses,
                              std::span<const std::string> references);
Score exact_match(std::span<const std::string> hypotheses, std::span<const std::string> references);

struct DocumentNll {
  double nll = 0;  // natural logarithm, summed over the document's predicted tokens
  int64_t tokens = 0;
};
// exp(total nll / total tokens); the bootstrap draws whole documents. Lower is better.
Evidence perplexity_evidence(std::span<const DocumentNll> documents);
Score perplexity(std::span<const DocumentNll> documents);

}  // namespace alambic
