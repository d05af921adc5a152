#include "alambic/data/signal_codec.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "alambic/base/error.h"

namespace alambic {
namespace {

constexpr double kStepsPerNat = 2048;
constexpr uint16_t kZero = 0xffff;  // the code of probability 0

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

uint16_t log_code(double p) {
  if (!(p > 0)) return kZero;
  return static_cast<uint16_t>(
      std::clamp(std::round(-std::log(p) * kStepsPerNat), 0.0, static_cast<double>(kZero - 1)));
}

double from_log_code(uint16_t code) { return code == kZero ? 0 : std::exp(-code / kStepsPerNat); }

void put_probability(std::string& out, double p) {
  const uint16_t code = log_code(p);
  out.push_back(static_cast<char>(code & 0xff));
  out.push_back(static_cast<char>(code >> 8));
}

// Reads forward through untrusted bytes; every read is checked.
class Reader {
 public:
  Reader(std::string_view bytes, std::string_view where) : bytes_(bytes), where_(where) {}

  size_t left() const { return bytes_.size(); }

  uint64_t varint(uint64_t limit) {
    uint64_t value = 0;
    for (int shift = 0; shift < 63; shift += 7) {
      const uint8_t byte = take();
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) != 0) continue;
      if (value > limit) corrupt("a number is out of range");
      return value;
    }
    corrupt("a number is too long");
  }

  // A count of things that take at least one byte each.
  size_t count() { return static_cast<size_t>(varint(bytes_.size())); }

  double probability() {
    const uint16_t low = take(), high = take();
    return from_log_code(static_cast<uint16_t>(low | (high << 8)));
  }

  void finish() const {
    if (!bytes_.empty()) corrupt("bytes are left over");
  }

  [[noreturn]] void corrupt(std::string_view why) const {
    fail(ErrorCode::kCorruptData, "[{}] stored signals are damaged: {}", where_, why);
  }

 private:
  uint8_t take() {
    if (bytes_.empty()) corrupt("they end too early");
    const auto byte = static_cast<uint8_t>(bytes_.front());
    bytes_.remove_prefix(1);
    return byte;
  }

  std::string_view bytes_, where_;
};

uint64_t largest_id(const SignalHeader& header) {
  return header.vocab_size > 0 ? static_cast<uint64_t>(header.vocab_size) - 1 : INT32_MAX;
}

[[noreturn]] void refuse(size_t token, const std::string& why) {
  fail(ErrorCode::kInvalidArgument, "[signals: token {}] {}", token, why);
}

// Positions of `ids` in ascending order of id; refuses what no header allows.
std::vector<size_t> checked_order(const TokenSignal& signal, const SignalHeader& header,
                                  size_t token) {
  if (signal.ids.size() != signal.probabilities.size()) {
    refuse(token, fmt::format("{} ids but {} probabilities", signal.ids.size(),
                              signal.probabilities.size()));
  }
  if (signal.ids.size() > static_cast<size_t>(header.draws_or_k)) {
    refuse(token, fmt::format("{} ids; want at most {}", signal.ids.size(), header.draws_or_k));
  }
  std::vector<size_t> order(signal.ids.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return signal.ids[a] < signal.ids[b]; });
  for (size_t i = 0; i < order.size(); ++i) {
    const TokenId id = signal.ids[order[i]];
    if (id < 0 || static_cast<uint64_t>(id) > largest_id(header)) {
      refuse(token, fmt::format("id {} is outside the vocabulary of {}", id, header.vocab_size));
    }
    if (i > 0 && id == signal.ids[order[i - 1]]) refuse(token, fmt::format("id {} twice", id));
    const float p = signal.probabilities[order[i]];
    if (!(p >= 0 && p <= 1)) refuse(token, fmt::format("probability {}; want 0 to 1", p));
  }
  return order;
}

void encode_draws(const TokenSignal& signal, std::span<const size_t> order, int draws, size_t token,
                  std::string& out) {
  int64_t previous = 0, total = 0;
  for (const size_t at : order) {
    const double exact = static_cast<double>(signal.probabilities[at]) * draws;
    const auto count = static_cast<int64_t>(std::llround(exact));
    if (count < 1 || std::abs(exact - static_cast<double>(count)) > 1e-2) {
      refuse(token, fmt::format("probability {} is no whole number of {} draws",
                                signal.probabilities[at], draws));
    }
    const int64_t id = signal.ids[at];
    put_varint(out, (static_cast<uint64_t>(id - previous) << 1) | (count > 1 ? 1U : 0U));
    if (count > 1) put_varint(out, static_cast<uint64_t>(count));
    previous = id;
    total += count;
  }
  if (!order.empty() && total != draws) {
    refuse(token, fmt::format("{} draws; want {}", total, draws));
  }
}

void encode_topk(const TokenSignal& signal, std::span<const size_t> order, size_t token,
                 std::string& out) {
  if (order.empty()) return;
  int64_t previous = 0;
  double sum = 0;
  for (const size_t at : order) {
    const int64_t id = signal.ids[at];
    put_varint(out, static_cast<uint64_t>(id - previous));
    put_probability(out, signal.probabilities[at]);
    previous = id;
    sum += signal.probabilities[at];
  }
  // A softmax over a large vocabulary in single precision sums to one within far less than this.
  constexpr double kSumTolerance = 2e-3;
  if (!(std::abs(sum + signal.tail - 1) <= kSumTolerance) || signal.tail < -kSumTolerance) {
    refuse(token, fmt::format("probabilities and tail sum to {}; want 1", sum + signal.tail));
  }
  put_probability(out, signal.tail);
}

TokenSignal decode_signal(Reader& in, const SignalHeader& header) {
  const size_t distinct = in.count();
  if (distinct > static_cast<size_t>(header.draws_or_k)) in.corrupt("too many ids for one token");
  TokenSignal signal;
  if (distinct == 0) return signal;
  signal.ids.reserve(distinct);
  signal.probabilities.reserve(distinct);
  const bool draws = header.kind == SignalKind::kDraws;
  const auto n = static_cast<uint64_t>(header.draws_or_k);
  uint64_t id = 0, counted = 0;
  std::vector<double> exact;
  double total = 0;
  for (size_t i = 0; i < distinct; ++i) {
    uint64_t step = in.varint((largest_id(header) << 1) | 1U);
    const bool counts = draws && (step & 1U) != 0;
    if (draws) step >>= 1;
    if (i > 0 && step == 0) in.corrupt("an id occurs twice");
    id += step;
    if (id > largest_id(header)) in.corrupt("an id is outside the vocabulary");
    signal.ids.push_back(static_cast<TokenId>(id));
    if (draws) {
      const uint64_t count = counts ? in.varint(n) : 1;
      counted += count;
      signal.probabilities.push_back(static_cast<float>(count) / static_cast<float>(n));
    } else {
      exact.push_back(in.probability());
      total += exact.back();
    }
  }
  if (draws) {
    if (counted != n) in.corrupt("the counts do not add up");
    return signal;
  }
  const double tail = in.probability();
  total += tail;
  if (std::abs(total - 1) > 1e-2) in.corrupt("probabilities do not sum to 1");
  for (const double p : exact) signal.probabilities.push_back(static_cast<float>(p / total));
  signal.tail = static_cast<float>(tail / total);
  return signal;
}

}  // namespace

std::string encode_tokens(std::span<const TokenId> tokens, const SignalHeader& header) {
  std::string out;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || static_cast<uint64_t>(tokens[i]) > largest_id(header)) {
      refuse(i, fmt::format("id {} is outside the vocabulary of {}", tokens[i], header.vocab_size));
    }
    put_varint(out, static_cast<uint64_t>(tokens[i]));
  }
  return out;
}

std::vector<TokenId> decode_tokens(std::string_view bytes, const SignalHeader& header,
                                   std::string_view where) {
  Reader in(bytes, where);
  std::vector<TokenId> tokens;
  tokens.reserve(bytes.size());
  while (in.left() > 0) tokens.push_back(static_cast<TokenId>(in.varint(largest_id(header))));
  return tokens;
}

std::string encode_signals(std::span<const TokenSignal> signals, const SignalHeader& header) {
  if (signals.empty()) return {};
  if (header.kind == SignalKind::kText) refuse(0, "a store of texts takes no probabilities");
  std::string out;
  put_varint(out, signals.size());
  for (size_t token = 0; token < signals.size(); ++token) {
    const TokenSignal& signal = signals[token];
    const std::vector<size_t> order = checked_order(signal, header, token);
    put_varint(out, order.size());
    if (header.kind == SignalKind::kDraws) {
      encode_draws(signal, order, header.draws_or_k, token, out);
    } else {
      encode_topk(signal, order, token, out);
    }
  }
  return out;
}

std::vector<TokenSignal> decode_signals(std::string_view bytes, const SignalHeader& header,
                                        std::string_view where) {
  std::vector<TokenSignal> signals;
  if (bytes.empty()) return signals;
  Reader in(bytes, where);
  if (header.kind == SignalKind::kText) in.corrupt("a store of texts holds probabilities");
  const size_t count = in.count();
  // No reserve: a token is 56 bytes here and may be one byte there, so growth follows what was
  // really read.
  for (size_t i = 0; i < count; ++i) signals.push_back(decode_signal(in, header));
  in.finish();
  return signals;
}

}  // namespace alambic
