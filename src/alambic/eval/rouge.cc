#include "alambic/eval/rouge.h"

#include <algorithm>
#include <vector>

#include "alambic/eval/score.h"

namespace alambic {
namespace {

std::vector<std::string> rouge_words(std::string_view text) {
  std::vector<std::string> words(1);
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    // Two characters outside ASCII have lower-case forms that begin with an ASCII letter.
    if (text.substr(i, 2) == "\u0130") c = 'I';
    if (text.substr(i, 3) == "\u212a") c = 'K';
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      words.back() += c;
      // The rest of the Kelvin sign is no separator; the rest of the dotted I (a combining dot) is
      // one.
      if (text.substr(i, 3) == "\u212a") i += 2;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

}  // namespace

double rouge_l_f1(std::string_view hypothesis, std::string_view reference) {
  const std::vector<std::string> a = rouge_words(hypothesis), b = rouge_words(reference);
  if (a.empty() || b.empty()) return 0;
  // longest[j]: common subsequence of the words of `a` so far and the first j words of `b`.
  std::vector<int> longest(b.size() + 1, 0);
  for (const std::string& word : a) {
    int diagonal = 0;
    for (size_t j = 1; j <= b.size(); ++j) {
      const int above = longest[j];
      longest[j] = word == b[j - 1] ? diagonal + 1 : std::max(above, longest[j - 1]);
      diagonal = above;
    }
  }
  return 2.0 * longest.back() / static_cast<double>(a.size() + b.size());
}

Evidence rouge_l_evidence(std::span<const std::string> hypotheses,
                          std::span<const std::string> references) {
  require_same_count("ROUGE-L", hypotheses.size(), references.size());
  std::vector<double> values(hypotheses.size());
  for (size_t i = 0; i < values.size(); ++i) values[i] = rouge_l_f1(hypotheses[i], references[i]);
  return mean_evidence(values);
}

Score rouge_l(std::span<const std::string> hypotheses, std::span<const std::string> references) {
  return score_of(rouge_l_evidence(hypotheses, references));
}

}  // namespace alambic
