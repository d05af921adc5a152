#include "alambic/distill/byte_match.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace alambic {
namespace {

// The distribution that an endpoint gave for one token, in the student's ids; nothing where it
// cannot be said without guessing. `own` is the student's id of the chosen token.
std::optional<TokenSignal> signal_of(const ByteVocabulary& vocabulary, const EndpointToken& token,
                                     TokenId own, int k) {
  constexpr double kSumTolerance = 1e-3;
  std::vector<std::pair<double, TokenId>> known;
  double sum = 0;
  if (token.top.empty()) return std::nullopt;
  for (const EndpointAlternative& other : token.top) {
    const double p = std::exp(other.log_probability);
    if (!(p >= 0 && p <= 1 + kSumTolerance)) return std::nullopt;
    sum += p;
    if (!other.known) continue;
    const auto id =
        other.bytes == token.chosen.bytes ? std::optional(own) : vocabulary.find(other.bytes);
    if (!id) return std::nullopt;
    known.emplace_back(std::min(p, 1.0), *id);
  }
  if (sum > 1 + kSumTolerance || known.empty()) return std::nullopt;
  std::stable_sort(known.begin(), known.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  if (known.size() > static_cast<size_t>(k)) known.resize(static_cast<size_t>(k));
  std::sort(known.begin(), known.end(),
            [](const auto& a, const auto& b) { return a.second < b.second; });
  TokenSignal signal;
  double covered = 0;
  for (const auto& [p, id] : known) {
    if (!signal.ids.empty() && signal.ids.back() == id) return std::nullopt;
    signal.ids.push_back(id);
    signal.probabilities.push_back(static_cast<float>(p));
    covered += p;
  }
  signal.tail = static_cast<float>(std::max(0.0, 1 - covered));
  return signal;
}

}  // namespace

std::vector<size_t> token_ends(const Tokenizer& tokenizer, std::span<const TokenId> tokens,
                               std::string_view text) {
  std::string joined;
  std::vector<size_t> ends;
  ends.reserve(tokens.size());
  for (const TokenId id : tokens) {
    joined += tokenizer.token_bytes(id);
    ends.push_back(joined.size());
  }
  const auto agreeing = [&](size_t from) {
    const std::string_view spelled = std::string_view(joined).substr(from);
    return static_cast<size_t>(
        std::mismatch(spelled.begin(), spelled.end(), text.begin(), text.end()).first -
        spelled.begin());
  };
  size_t common = agreeing(0), dropped = 0;
  // Some vocabularies put a space before every text that decoding takes away again.
  if (joined.starts_with(' ') && agreeing(1) > common) {
    common = agreeing(1);
    dropped = 1;
  }
  for (size_t& end : ends) end -= std::min(end, dropped);
  ends.resize(
      static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), common) - ends.begin()));
  return ends;
}

ByteVocabulary::ByteVocabulary(Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)) {
  constexpr TokenId kSeveral = -1;
  std::vector<std::string> ambiguous;
  for (TokenId id = 0; id < tokenizer_.vocab_size(); ++id) {
    std::string bytes =
        tokenizer_.is_special(id) ? tokenizer_.token_content(id) : tokenizer_.token_bytes(id);
    if (bytes.empty()) continue;
    const auto [at, fresh] = ids_.emplace(std::move(bytes), id);
    if (fresh) continue;
    if (at->second != kSeveral) ambiguous.push_back(at->first);
    at->second = kSeveral;
  }
  // Of several tokens with the same bytes, the one that encoding uses.
  for (const std::string& bytes : ambiguous) {
    const auto tokens = tokenizer_.encode(bytes, {.special_prefix = false, .parse_special = false});
    if (tokens.size() == 1) {
      ids_[bytes] = tokens.front();
    } else {
      ids_.erase(bytes);
    }
  }
}

std::optional<TokenId> ByteVocabulary::find(std::string_view bytes) const {
  const auto it = ids_.find(std::string(bytes));
  return it == ids_.end() ? std::nullopt : std::optional(it->second);
}

MatchedAnswer match_answer(const ByteVocabulary& vocabulary, std::string_view text,
                           std::string_view answer, std::span<const EndpointToken> written, int k) {
  MatchedAnswer result;
  const Tokenizer& tokenizer = vocabulary.tokenizer();
  result.tokens = tokenizer.encode(text, {.special_prefix = false, .parse_special = false});
  const std::vector<size_t> ends = token_ends(tokenizer, result.tokens, text);
  const bool whole =
      !ends.empty() && ends.size() == result.tokens.size() && ends.back() == text.size();
  if (!whole || answer.empty() || !text.ends_with(answer)) return result;
  std::string spelled;
  for (const EndpointToken& token : written) spelled += token.chosen.bytes;
  const size_t found = spelled.rfind(answer);
  if (found == std::string::npos) return result;
  // A position in what was spelled, as one in `text`.
  const auto in_text = [&](size_t at) { return at - found + (text.size() - answer.size()); };
  result.signals.resize(result.tokens.size());
  size_t at = 0;
  for (const EndpointToken& token : written) {
    const size_t begin = at;
    at += token.chosen.bytes.size();
    if (begin < found || at > found + answer.size() || !token.chosen.known || at == begin) continue;
    const auto end = std::lower_bound(ends.begin(), ends.end(), in_text(at));
    if (end == ends.end() || *end != in_text(at)) continue;
    const auto index = static_cast<size_t>(end - ends.begin());
    if ((index == 0 ? 0 : ends[index - 1]) != in_text(begin)) continue;
    auto signal = signal_of(vocabulary, token, result.tokens[index], k);
    if (!signal) continue;
    result.signals[index] = std::move(*signal);
    ++result.matched;
  }
  if (result.matched == 0) result.signals.clear();
  return result;
}

}  // namespace alambic
