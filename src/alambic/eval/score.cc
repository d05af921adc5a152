#include "alambic/eval/score.h"

#include <cmath>

#include "alambic/base/error.h"

namespace alambic {
namespace {

// Bytes of the white-space character that starts at text[i], or 0. These are the characters that
// Unicode calls white space plus the four ASCII separators, which is also what Python's str.split()
// cuts at.
size_t white_space_length(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) {
    return k < text.size() ? static_cast<unsigned char>(text[k]) : 0U;
  };
  const unsigned a = byte(i), b = byte(i + 1), c = byte(i + 2);
  if (a == ' ' || (a >= 0x09 && a <= 0x0d) || (a >= 0x1c && a <= 0x1f)) return 1;
  if (a == 0xc2 && (b == 0x85 || b == 0xa0)) return 2;  // U+0085, U+00A0
  if (a == 0xe1 && b == 0x9a && c == 0x80) return 3;    // U+1680
  if (a == 0xe2 && b == 0x80) {                         // U+2000-200A, 2028, 2029, 202F
    return (c >= 0x80 && c <= 0x8a) || c == 0xa8 || c == 0xa9 || c == 0xaf ? 3 : 0;
  }
  if (a == 0xe2 && b == 0x81 && c == 0x9f) return 3;  // U+205F
  if (a == 0xe3 && b == 0x80 && c == 0x80) return 3;  // U+3000
  return 0;
}

double perplexity_of_totals(std::span<const double> totals) {
  return std::exp(totals[0] / totals[1]);
}

}  // namespace

void require_same_count(std::string_view where, size_t answers, size_t references) {
  if (answers != references || answers == 0) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] answers and references must pair up; got {} and {}, want equal and not 0", where,
         answers, references);
  }
}

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  size_t start = 0;
  for (size_t i = 0; i <= text.size();) {
    const size_t gap = i < text.size() ? white_space_length(text, i) : 1;
    if (gap == 0) {
      ++i;
      continue;
    }
    if (i > start) words.push_back(text.substr(start, i - start));
    i += gap;
    start = i;
  }
  return words;
}

std::string normalise_whitespace(std::string_view text) {
  std::string joined;
  joined.reserve(text.size());
  for (const std::string_view word : split_words(text)) {
    if (!joined.empty()) joined += ' ';
    joined += word;
  }
  return joined;
}

Evidence accuracy_evidence(std::span<const std::string> answers,
                           std::span<const std::string> labels) {
  require_same_count("accuracy", answers.size(), labels.size());
  std::vector<double> hits(answers.size());
  for (size_t i = 0; i < hits.size(); ++i) hits[i] = answers[i] == labels[i] ? 1 : 0;
  return mean_evidence(hits);
}

Score accuracy(std::span<const std::string> answers, std::span<const std::string> labels) {
  return score_of(accuracy_evidence(answers, labels));
}

Evidence exact_match_evidence(std::span<const std::string> hypotheses,
                              std::span<const std::string> references) {
  require_same_count("exact match", hypotheses.size(), references.size());
  std::vector<double> hits(hypotheses.size());
  for (size_t i = 0; i < hits.size(); ++i) {
    hits[i] = split_words(hypotheses[i]) == split_words(references[i]) ? 1 : 0;
  }
  return mean_evidence(hits);
}

Score exact_match(std::span<const std::string> hypotheses,
                  std::span<const std::string> references) {
  return score_of(exact_match_evidence(hypotheses, references));
}

Evidence perplexity_evidence(std::span<const DocumentNll> documents) {
  Evidence evidence{2, {}, perplexity_of_totals};
  for (const DocumentNll& document : documents) {
    if (!std::isfinite(document.nll) || document.tokens < 0) {
      fail(ErrorCode::kInvalidArgument,
           "[perplexity] a document's likelihood is unusable; got nll {} over {} tokens, want "
           "finite numbers",
           document.nll, document.tokens);
    }
    // A document with nothing to predict says nothing, and a resample of such documents alone would
    // divide by 0.
    if (document.tokens == 0) continue;
    evidence.rows.push_back(document.nll);
    evidence.rows.push_back(static_cast<double>(document.tokens));
  }
  return evidence;
}

Score perplexity(std::span<const DocumentNll> documents) {
  return score_of(perplexity_evidence(documents));
}

}  // namespace alambic
