#include "alambic/distill/vocabularies.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "alambic/base/json.h"
#include "alambic/decode/prompting.h"
#include "alambic/distill/byte_match.h"

namespace alambic {
namespace {

// As people can read it, whatever bytes it holds.
std::string quoted(const std::string& text) { return dump_json(Json(text)); }

std::string named(const Tokenizer& tokenizer, TokenId id) {
  const std::string content = tokenizer.token_content(id);
  return content.empty() ? "no token" : quoted(content);
}

// Equal tokens may still be joined differently.
constexpr std::string_view kProbe =
    "The quick brown fox doesn't jump 1234567 times over\n\n  the lazy dog's back; naïve café, "
    "x_1 += 3.14e-10;\tПривет, 世界!";

// In ids that mean the same on both sides.
std::string first_cut_difference(const Tokenizer& teacher, const Tokenizer& student,
                                 const EncodeOptions& options) {
  const std::vector<TokenId> theirs = teacher.encode(kProbe, options);
  const std::vector<TokenId> own = student.encode(kProbe, options);
  const auto [t, s] = std::mismatch(theirs.begin(), theirs.end(), own.begin(), own.end());
  if (t == theirs.end() && s == own.end()) return {};
  const auto next = [](const Tokenizer& tokenizer, auto at, auto end) {
    return at == end ? std::string("nothing")
                     : fmt::format("token {} ({})", *at, named(tokenizer, *at));
  };
  return fmt::format("of the same text, place {} is {} for the teacher and {} for the student",
                     t - theirs.begin(), next(teacher, t, theirs.end()),
                     next(student, s, own.end()));
}

}  // namespace

std::string first_token_difference(const Tokenizer& teacher, const Tokenizer& student) {
  const int ids = std::max(teacher.vocab_size(), student.vocab_size());
  for (TokenId id = 0; id < ids; ++id) {
    const std::string theirs = teacher.token_content(id), own = student.token_content(id);
    if (theirs == own || (theirs.empty() && student.is_special(id)) ||
        (own.empty() && teacher.is_special(id)))
      continue;
    return fmt::format("token {} is {} for the teacher and {} for the student", id,
                       named(teacher, id), named(student, id));
  }
  const std::string cut =
      first_cut_difference(teacher, student, {.special_prefix = false, .parse_special = false});
  return cut.empty() ? first_cut_difference(teacher, student, {.parse_special = false}) : cut;
}

std::string first_token_difference(const SignalRow& row, const Tokenizer& tokenizer) {
  const auto prompt = std::min(row.tokens.size(), static_cast<size_t>(row.prompt_tokens));
  const auto answer = std::span(row.tokens).subspan(prompt);
  const std::vector<size_t> ends = token_ends(tokenizer, answer, row.text);
  const size_t end = ends.empty() ? 0 : ends.back();
  // Behind the whole text stands what ends it.
  if (ends.size() == answer.size() || end == row.text.size()) return {};
  constexpr size_t kQuoted = 16;
  return fmt::format("in row {}, token {} is {} here, where the store's text goes on {}",
                     row.example, answer[ends.size()], named(tokenizer, answer[ends.size()]),
                     quoted(row.text.substr(end, kQuoted)));
}

std::vector<TokenId> rows_without_token(const Tokenizer& tokenizer, int rows) {
  std::vector<TokenId> ids;
  for (TokenId id = 0; id < rows; ++id) {
    if (tokenizer.token_content(id).empty()) ids.push_back(id);
  }
  return ids;
}

std::vector<bool> writable_tokens(const Tokenizer& tokenizer) {
  std::vector<bool> has(static_cast<size_t>(tokenizer.vocab_size()), true);
  for (const TokenId id : rows_without_token(tokenizer, tokenizer.vocab_size()))
    has[static_cast<size_t>(id)] = false;
  if (const auto mask = tokenizer.find(kMaskToken)) has[static_cast<size_t>(*mask)] = false;
  return has;
}

void keep_tokens(TokenSignal& signal, const std::vector<bool>& has_token) {
  TokenSignal kept;
  double sum = signal.tail;
  for (size_t i = 0; i < signal.ids.size(); ++i) {
    const auto id = static_cast<size_t>(signal.ids[i]);
    if (id >= has_token.size() || !has_token[id]) continue;
    kept.ids.push_back(signal.ids[i]);
    kept.probabilities.push_back(signal.probabilities[i]);
    sum += double{signal.probabilities[i]};
  }
  if (kept.ids.size() == signal.ids.size()) return;
  if (kept.ids.empty() || sum <= 0) {
    signal = {};
    return;
  }
  for (float& p : kept.probabilities) p = static_cast<float>(p / sum);
  kept.tail = static_cast<float>(signal.tail / sum);
  signal = std::move(kept);
}

}  // namespace alambic
