#include "alambic/distill/byte_alignment.h"

#include <algorithm>
#include <map>
#include <utility>

#include "alambic/distill/encoding.h"

namespace alambic {
namespace {

// The probability that a signal gives a token; nothing where it does not list it and keeps a tail,
// in which the token may be.
std::optional<double> listed(const TokenSignal& signal, TokenId id) {
  const auto at = std::lower_bound(signal.ids.begin(), signal.ids.end(), id);
  if (at != signal.ids.end() && *at == id)
    return double{signal.probabilities[static_cast<size_t>(at - signal.ids.begin())]};
  if (signal.tail > 0 || signal.ids.empty()) return std::nullopt;
  return 0.0;  // draws: never drawn
}

}  // namespace

ByteAlignment::ByteAlignment(Tokenizer teacher, const Tokenizer& student)
    : teacher_(std::move(teacher)), student_(student) {}

std::optional<TokenId> ByteAlignment::first_token(TokenId teachers) {
  const auto [at, fresh] = first_tokens_.emplace(teachers, std::nullopt);
  if (!fresh) return at->second;
  const Tokenizer& student = student_.tokenizer();
  if (teachers == teacher_.eos()) return at->second = student.eos();
  if (teacher_.is_special(teachers)) return at->second;
  const std::string bytes = teacher_.token_bytes(teachers);
  if (bytes.empty()) return at->second;
  if (const auto whole = student_.find(bytes)) return at->second = whole;
  const auto pieces = student.encode(bytes, {.special_prefix = false, .parse_special = false});
  if (!pieces.empty() && !student.token_bytes(pieces.front()).empty() &&
      bytes.starts_with(student.token_bytes(pieces.front())))
    at->second = pieces.front();
  return at->second;
}

// The student's token `own` begins with the teacher's token `teachers`, and ends with its token
// `last` or, if that is the same, perhaps inside it.
std::optional<TokenSignal> ByteAlignment::signal_at(const SignalRow& row, size_t teachers,
                                                    size_t last, TokenId own) {
  const auto prompt = static_cast<size_t>(row.prompt_tokens);
  const TokenSignal& said = row.signals[teachers];
  if (said.ids.empty()) return std::nullopt;
  const TokenId chosen = row.tokens[prompt + teachers];
  std::map<TokenId, double> merged;
  for (size_t i = 0; i < said.ids.size(); ++i) {
    if (last > teachers && said.ids[i] == chosen) continue;  // a part of `own` only
    if (const auto id = first_token(said.ids[i])) merged[*id] += double{said.probabilities[i]};
  }
  if (last > teachers) {
    double product = 1;
    for (size_t t = teachers; t <= last; ++t) {
      const auto p = listed(row.signals[t], row.tokens[prompt + t]);
      if (!p) return std::nullopt;
      product *= *p;
    }
    merged[own] += product;
  }
  std::erase_if(merged, [](const auto& entry) { return entry.second <= 0; });
  if (merged.empty()) return std::nullopt;
  TokenSignal signal;
  double sum = 0;
  for (const auto& [id, p] : merged) {
    signal.ids.push_back(id);
    signal.probabilities.push_back(static_cast<float>(p));
    sum += p;
  }
  signal.tail = static_cast<float>(std::max(0.0, 1 - sum));
  return signal;
}

std::optional<Sequence> ByteAlignment::sequence(const SignalRow& row, const Encoder& encoder,
                                                int max_tokens) {
  auto texts = encode_sequences(encoder, {row.prompt, row.text, ""}, max_tokens).sequences;
  if (texts.empty()) return std::nullopt;
  add_signals(row, /*ends=*/true, texts.back());
  return std::move(texts.back());
}

void ByteAlignment::add_signals(const SignalRow& row, bool ends, Sequence& sequence) {
  const std::span<const TokenId> own =
      std::span(sequence.tokens).subspan(static_cast<size_t>(sequence.prompt_tokens));
  tokens_ += static_cast<int64_t>(own.size());
  if (row.signals.empty() || own.empty()) return;
  const std::span<const TokenId> teachers =
      std::span(row.tokens).subspan(static_cast<size_t>(row.prompt_tokens));
  const bool ended = !teachers.empty() && teachers.back() == teacher_.eos();
  const size_t written = own.size() - (ends ? 1 : 0);
  const std::vector<size_t> own_ends =
      token_ends(student_.tokenizer(), own.first(written), row.text);
  const std::vector<size_t> teacher_ends =
      token_ends(teacher_, teachers.first(teachers.size() - (ended ? 1 : 0)), row.text);
  sequence.signals.resize(own.size());
  size_t t = 0;  // the teacher's token that begins at or behind where the student's does
  for (size_t i = 0; i < own_ends.size(); ++i) {
    const size_t begin = i == 0 ? 0 : own_ends[i - 1], end = own_ends[i];
    while (t < teacher_ends.size() && (t == 0 ? 0 : teacher_ends[t - 1]) < begin) ++t;
    if (t == teacher_ends.size() || (t == 0 ? 0 : teacher_ends[t - 1]) != begin) continue;
    const auto last =
        std::lower_bound(teacher_ends.begin() + static_cast<int64_t>(t), teacher_ends.end(), end);
    const auto at = static_cast<size_t>(last - teacher_ends.begin());
    if (last == teacher_ends.end() || (*last != end && at > t)) continue;
    if (auto signal = signal_at(row, t, *last == end ? at : t, own[i])) {
      sequence.signals[i] = std::move(*signal);
      ++signals_;
    }
  }
  const auto spells_all = [&](const std::vector<size_t>& ended_at, size_t tokens) {
    return ended_at.size() == tokens && (ended_at.empty() ? 0 : ended_at.back()) == row.text.size();
  };
  if (ends && ended && spells_all(own_ends, written) &&
      spells_all(teacher_ends, teachers.size() - 1)) {
    if (auto signal = signal_at(row, teachers.size() - 1, teachers.size() - 1, own.back())) {
      sequence.signals.back() = std::move(*signal);
      ++signals_;
    }
  }
}

double ByteAlignment::share() const {
  return tokens_ == 0 ? 0 : static_cast<double>(signals_) / static_cast<double>(tokens_);
}

}  // namespace alambic
