#include "alambic/distill/token_signals.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "alambic/autograd/ops.h"
#include "alambic/base/thread_pool.h"
#include "alambic/decode/prompting.h"
#include "alambic/distill/vocabularies.h"
#include "alambic/kernels/table.h"

namespace alambic {
namespace {

// exp((x - max) / temperature), and their sum in double.
double exponentials(std::span<const float> logits, double temperature,
                    std::vector<float>& weights) {
  const auto& kernel = kernels::kernels();
  const auto n = static_cast<int64_t>(logits.size());
  weights.resize(logits.size());
  kernel.exp_sum(logits.data(), kernel.max(logits.data(), n), static_cast<float>(1 / temperature),
                 n, weights.data());
  return std::accumulate(weights.begin(), weights.end(), 0.0);
}

// A token whose signal is wanted.
struct Wanted {
  SignalRow* row;
  int target;            // its index in the row
  const TokenTrie* set;  // null: anything may stand there
  int node;              // where in the set its answer has come to
};

// Leaves of `logits` what the set goes on with.
class Closer {
 public:
  Closer(const Tokenizer& tokenizer, const ModelConfig& config, int vocab)
      : stops_(stop_tokens(tokenizer, config)), vocab_(vocab) {}

  void close(const Wanted& place, std::span<float> logits) const {
    std::vector<std::pair<TokenId, float>> kept;
    const auto keep = [&](TokenId id) {
      if (id < vocab_) kept.emplace_back(id, logits[static_cast<size_t>(id)]);
    };
    for (const TokenId id : place.set->next(place.node)) keep(id);
    if (place.set->member(place.node) != TokenTrie::kNone) {
      for (const TokenId id : stops_) keep(id);
      keep(place.row->tokens[static_cast<size_t>(place.target)]);  // an end of the template's own
    }
    std::fill(logits.begin(), logits.end(), -std::numeric_limits<float>::infinity());
    for (const auto& [id, logit] : kept) logits[static_cast<size_t>(id)] = logit;
  }

 private:
  std::vector<TokenId> stops_;
  int vocab_;
};

// All rows as one text each, and the rows of the forward that predict the places.
struct Laid {
  std::vector<TokenId> tokens;
  Forward forward;
  std::vector<Wanted> places;
  std::vector<int64_t> index;
};

Laid lay_out(std::span<SignalRow> rows, const AskedRows& asked, Precision precision) {
  Laid laid;
  laid.forward.precision = precision;
  for (size_t i = 0; i < rows.size(); ++i) {
    SignalRow& row = rows[i];
    if (row.tokens.empty()) continue;
    const auto own = static_cast<size_t>(row.prompt_tokens);
    const std::span<const TokenId> answer = std::span(row.tokens).subspan(own);
    const bool told = !asked.prompts.empty() && !asked.prompts[i].empty();
    const std::span<const TokenId> prompt =
        told ? std::span<const TokenId>(asked.prompts[i]) : std::span(row.tokens).first(own);
    const TokenTrie* set = asked.sets.empty() ? nullptr : asked.sets[i];
    row.signals.resize(answer.size());
    int node = TokenTrie::kRoot;
    for (size_t t = 0; t < answer.size(); ++t) {
      // What a user says later in a conversation is nobody's answer.
      if (asked.learned.empty() || asked.learned[i].empty() || asked.learned[i][t]) {
        laid.index.push_back(static_cast<int64_t>(laid.tokens.size() + prompt.size() + t) - 1);
        laid.places.push_back({&row, row.prompt_tokens + static_cast<int>(t),
                               node == TokenTrie::kNone ? nullptr : set, node});
      }
      if (set != nullptr && node != TokenTrie::kNone) node = set->child(node, answer[t]);
    }
    laid.tokens.insert(laid.tokens.end(), prompt.begin(), prompt.end());
    laid.tokens.insert(laid.tokens.end(), answer.begin(), answer.end());
    laid.forward.groups.push_back(
        {.rows = static_cast<int>(prompt.size() + answer.size()), .position = 0});
  }
  return laid;
}

}  // namespace

TokenSignal draw_signal(std::span<const float> logits, double temperature, int draws, Rng& rng) {
  thread_local std::vector<float> weights;
  const double sum = exponentials(logits, temperature, weights);
  std::vector<double> marks(static_cast<size_t>(draws));
  for (double& mark : marks) mark = rng.uniform() * sum;
  std::sort(marks.begin(), marks.end());
  TokenSignal signal;
  double below = 0;
  size_t next = 0;
  for (size_t id = 0; id < weights.size() && next < marks.size(); ++id) {
    below += weights[id];
    int hits = 0;
    while (next < marks.size() && marks[next] < below) ++next, ++hits;
    if (hits == 0) continue;
    signal.ids.push_back(static_cast<TokenId>(id));
    signal.probabilities.push_back(static_cast<float>(hits) / static_cast<float>(draws));
  }
  return signal;
}

TokenSignal top_k_signal(std::span<const float> logits, double temperature, int k, TokenId always) {
  thread_local std::vector<float> weights;
  const double sum = exponentials(logits, temperature, weights);
  std::vector<TokenId> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  const size_t keep = std::min(order.size(), static_cast<size_t>(k));
  std::partial_sort(order.begin(), order.begin() + static_cast<int64_t>(keep), order.end(),
                    [](TokenId a, TokenId b) {
                      return weights[a] != weights[b] ? weights[a] > weights[b] : a < b;
                    });
  order.resize(keep);
  if (always >= 0 && std::find(order.begin(), order.end(), always) == order.end())
    order.back() = always;
  std::sort(order.begin(), order.end());
  TokenSignal signal;
  double covered = 0;
  for (const TokenId id : order) {
    const double p = weights[id] / sum;
    covered += p;
    signal.ids.push_back(id);
    signal.probabilities.push_back(static_cast<float>(p));
  }
  signal.tail = static_cast<float>(std::max(0.0, 1 - covered));
  return signal;
}

void add_token_signals(const LanguageModel& model, const Tokenizer& tokenizer,
                       const TokenSignalOptions& options, std::span<SignalRow> rows,
                       const AskedRows& asked) {
  const NoGrad no_grad;
  const Laid laid = lay_out(rows, asked, options.precision);
  if (laid.places.empty()) return;
  const Tensor hidden = model.hidden(laid.tokens, laid.forward);
  constexpr size_t kRows = 256;  // logits of so many rows at a time
  const int vocab = std::min(model.config().vocab_size, tokenizer.vocab_size());
  // What no token stands for is no alternative, and no text holds MASK.
  std::vector<TokenId> silent = rows_without_token(tokenizer, vocab);
  if (const TokenId mask = model.config().mask; mask >= 0 && mask < vocab) silent.push_back(mask);
  const Closer closer(tokenizer, model.config(), vocab);
  for (size_t first = 0; first < laid.index.size(); first += kRows) {
    const size_t last = std::min(laid.index.size(), first + kRows);
    Tensor logits = model.logits(
        gather_rows(hidden, std::span(laid.index).subspan(first, last - first)), options.precision);
    parallel_rows(static_cast<int64_t>(last - first), 4, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const Wanted& place = laid.places[first + static_cast<size_t>(r)];
        for (const TokenId id : silent) logits.row(r)[id] = -std::numeric_limits<float>::infinity();
        const std::span<float> row(logits.row(r), static_cast<size_t>(vocab));
        if (place.set != nullptr) closer.close(place, row);
        Rng rng = Rng(options.seed, static_cast<uint64_t>(place.row->example))
                      .fork(static_cast<uint64_t>(place.row->sample))
                      .fork(static_cast<uint64_t>(place.target));
        const TokenId own = place.row->tokens[static_cast<size_t>(place.target)];
        place.row->signals[static_cast<size_t>(place.target - place.row->prompt_tokens)] =
            options.kind == SignalKind::kDraws
                ? draw_signal(row, options.temperature, options.count, rng)
                : top_k_signal(row, options.temperature, options.count,
                               options.list_own ? own : -1);
      }
    });
  }
}

}  // namespace alambic
