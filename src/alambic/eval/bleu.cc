#include "alambic/eval/bleu.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>

#include "alambic/eval/score.h"

namespace alambic {
namespace {

constexpr int kOrders = 4;
// A sentence's statistics: hypothesis length, reference length, matches by order, n-grams by order.
constexpr int kCounts = 2 + 2 * kOrders;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_stop(char c) { return c == '.' || c == ','; }

// ASCII that always stands alone. Apostrophe, comma, hyphen and full stop have rules of their own.
bool stands_alone(char c) {
  return (c >= '!' && c <= '&') || (c >= '(' && c <= '+') || c == '/' || (c >= ':' && c <= '@') ||
         (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// Each rule of mteval-13a scans what the one before it wrote, left to right, and consumes what it
// matches: "a..," depends on that, so the rules stay separate passes. Working on bytes is safe:
// every rule asks for ASCII or for "no digit", and the bytes of a longer UTF-8 character are no
// digits.
std::string isolate_symbols(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (stands_alone(c)) {
      out += {' ', c, ' '};
    } else {
      out += c;
    }
  }
  return out;
}

std::string cut_stop_after_non_digit(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    if (!is_digit(text[i]) && i + 1 < text.size() && is_stop(text[i + 1])) {
      out += {' ', text[++i], ' '};
    }
  }
  return out;
}

std::string cut_stop_before_non_digit(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (is_stop(text[i]) && i + 1 < text.size() && !is_digit(text[i + 1])) {
      out += {' ', text[i], ' ', text[i + 1]};
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string cut_hyphen_after_digit(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    if (is_digit(text[i]) && i + 1 < text.size() && text[i + 1] == '-') {
      out += " - ";
      ++i;
    }
  }
  return out;
}

using Words = std::vector<std::string>;

// Words as numbers and n-grams as short lists of numbers: exact, and quick to compare.
using Gram = std::vector<int>;
using GramCounts = std::map<Gram, int>;

class Vocabulary {
 public:
  std::vector<int> encode(const Words& words) {
    std::vector<int> ids;
    ids.reserve(words.size());
    for (const std::string& word : words) {
      ids.push_back(ids_.try_emplace(word, static_cast<int>(ids_.size())).first->second);
    }
    return ids;
  }

 private:
  std::unordered_map<std::string, int> ids_;
};

GramCounts count_grams(const std::vector<int>& ids, int order) {
  GramCounts counts;
  for (size_t i = 0; i + static_cast<size_t>(order) <= ids.size(); ++i) {
    const auto begin = ids.begin() + static_cast<ptrdiff_t>(i);
    ++counts[Gram(begin, begin + order)];
  }
  return counts;
}

double bleu_of_totals(std::span<const double> totals) {
  const double hypothesis = totals[0], reference = totals[1];
  const auto matches = totals.subspan(2, kOrders), grams = totals.subspan(2 + kOrders, kOrders);
  if (std::all_of(matches.begin(), matches.end(), [](double m) { return m == 0; })) return 0;
  double smoothing = 1, log_sum = 0;
  for (int k = 0; k < kOrders; ++k) {
    if (grams[k] == 0) return 0;  // no sentence is long enough for this order
    double precision = 100 * matches[k] / grams[k];
    if (matches[k] == 0) {
      smoothing *= 2;
      precision = 100 / (smoothing * grams[k]);
    }
    log_sum += std::log(precision);
  }
  const double brevity = hypothesis < reference ? std::exp(1 - reference / hypothesis) : 1;
  return brevity * std::exp(log_sum / kOrders);
}

}  // namespace

std::vector<std::string> tokenize_13a(std::string_view text) {
  // White space at the end goes first: a hyphen there must not meet the line break that follows it.
  const std::vector<std::string_view> words = split_words(text);
  const size_t end =
      words.empty() ? 0
                    : static_cast<size_t>(words.back().data() - text.data()) + words.back().size();
  std::string line(text.substr(0, end));
  replace_all(line, "<skipped>", "");
  replace_all(line, "-\n", "");
  replace_all(line, "\n", " ");
  replace_all(line, "&quot;", "\"");
  replace_all(line, "&amp;", "&");
  replace_all(line, "&lt;", "<");
  replace_all(line, "&gt;", ">");
  line = cut_hyphen_after_digit(
      cut_stop_before_non_digit(cut_stop_after_non_digit(isolate_symbols(' ' + line + ' '))));
  Words tokens;
  for (const std::string_view token : split_words(line)) tokens.emplace_back(token);
  return tokens;
}

Evidence bleu_evidence(std::span<const std::string> hypotheses,
                       std::span<const std::string> references) {
  require_same_count("BLEU", hypotheses.size(), references.size());
  Evidence evidence{kCounts, std::vector<double>(hypotheses.size() * kCounts), bleu_of_totals};
  Vocabulary vocabulary;
  for (size_t i = 0; i < hypotheses.size(); ++i) {
    const std::vector<int> hypothesis = vocabulary.encode(tokenize_13a(hypotheses[i]));
    const std::vector<int> reference = vocabulary.encode(tokenize_13a(references[i]));
    double* row = evidence.rows.data() + i * kCounts;
    row[0] = static_cast<double>(hypothesis.size());
    row[1] = static_cast<double>(reference.size());
    for (int order = 1; order <= kOrders; ++order) {
      const GramCounts wanted = count_grams(reference, order);
      double matched = 0, total = 0;
      for (const auto& [gram, count] : count_grams(hypothesis, order)) {
        total += count;
        const auto found = wanted.find(gram);
        if (found != wanted.end()) matched += std::min(count, found->second);
      }
      row[1 + order] = matched;
      row[1 + kOrders + order] = total;
    }
  }
  return evidence;
}

Score bleu(std::span<const std::string> hypotheses, std::span<const std::string> references) {
  return score_of(bleu_evidence(hypotheses, references));
}

}  // namespace alambic
