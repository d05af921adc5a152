#include "alambic/decode/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "alambic/base/error.h"
#include "alambic/base/rng.h"
#include "alambic/kernels/table.h"

namespace alambic {
namespace {

// The winner of the exponential race among `ids`. weight(id) is proportional to the probability.
template <class Ids, class Weight>
TokenId race(const Ids& ids, TokenId favourite, const Weight& weight, const Rng& arrivals) {
  TokenId winner = favourite;
  double record = std::numeric_limits<double>::infinity();
  const auto run = [&](TokenId id) {
    const double w = weight(id);
    if (w <= 0) return;
    Rng rng;
    rng.restore(arrivals.key(), static_cast<uint64_t>(id));
    const double u = 1 - rng.uniform();
    // -log u < record w needs u > exp(-record w), which is at least 1 - record w: most logarithms
    // are never taken.
    if (u <= 1 - record * w) return;
    const double time = -std::log(u) / w;
    if (time < record) {
      record = time;
      winner = id;
    }
  };
  run(favourite);  // an early record spares the rest
  for (const TokenId id : ids) {
    if (id != favourite) run(id);
  }
  return winner;
}

void check_finite(const RowSummary& summary) {
  if (summary.finite()) return;
  fail(ErrorCode::kCorruptData,
       "[decode] the model's logits are not finite; its weights are damaged or it diverged");
}

struct AllIds {
  struct Iterator {
    TokenId id;
    TokenId operator*() const { return id; }
    Iterator& operator++() { return ++id, *this; }
    bool operator!=(const Iterator& other) const { return id != other.id; }
  };
  TokenId count;
  Iterator begin() const { return {0}; }
  Iterator end() const { return {count}; }
};

}  // namespace

Sampler::Sampler(const ModelConfig& config, const GenerateOptions& options, uint64_t stream)
    : options_(options),
      mask_(config.mask),
      vocabulary_(options.vocabulary > 0 ? std::min(options.vocabulary, config.vocab_size)
                                         : config.vocab_size),
      stream_(stream) {}

void Sampler::read(std::span<const float> logits) {
  ALAMBIC_CHECK(logits.size() >= static_cast<size_t>(vocabulary_));
  const RowSummary summary = summarise(logits.data(), columns());
  check_finite(summary);
  best_ = static_cast<TokenId>(summary.best);
  log_sum_ = summary.log_sum();
  row_.assign(logits.begin(), logits.begin() + vocabulary_);
  if (mask_ >= 0 && mask_ < vocabulary_)
    row_[static_cast<size_t>(mask_)] = -std::numeric_limits<float>::infinity();
}

Choice Sampler::choose(const RowSummary& row) {
  check_finite(row);
  return {static_cast<TokenId>(row.best), row.top - row.log_sum()};
}

Choice Sampler::choose(std::span<const float> logits, int64_t position,
                       std::span<const TokenId> allowed, uint64_t round) {
  if (options_.temperature == 0 && allowed.empty()) {
    ALAMBIC_CHECK(logits.size() >= static_cast<size_t>(vocabulary_));
    return choose(summarise(logits.data(), columns()));
  }
  read(logits);
  TokenId token = best_;
  if (options_.temperature > 0) {
    token = draw(position, round, allowed);
  } else {
    token = *std::max_element(allowed.begin(), allowed.end(), [&](TokenId a, TokenId b) {
      return row_[static_cast<size_t>(a)] < row_[static_cast<size_t>(b)];
    });
  }
  return {token, log_probability(token)};
}

Sampler::Verdict Sampler::judge(std::span<const float> logits, TokenId token) {
  read(logits);
  return {log_probability(token), log_probability(best_)};
}

std::vector<double> Sampler::log_probabilities(std::span<const float> logits,
                                               std::span<const TokenId> tokens) {
  read(logits);
  std::vector<double> result;
  for (const TokenId token : tokens) result.push_back(log_probability(token));
  return result;
}

double Sampler::entropy(std::span<const float> logits) {
  read(logits);
  weights_.resize(row_.size());
  const float top = row_[static_cast<size_t>(best_)];
  kernels::kernels().exp_sum(row_.data(), top, 1, vocabulary_, weights_.data());
  double sum = 0, weighted = 0;
  for (size_t i = 0; i < row_.size(); ++i) {
    if (weights_[i] == 0) continue;  // MASK stands at minus infinity
    sum += weights_[i];
    weighted += double{weights_[i]} * (row_[i] - top);
  }
  return std::log(sum) - weighted / sum;
}

std::vector<Choice> Sampler::best(std::span<const float> logits, int count) {
  read(logits);
  candidates_.resize(static_cast<size_t>(vocabulary_));
  std::iota(candidates_.begin(), candidates_.end(), 0);
  std::erase(candidates_, mask_);
  const size_t kept = std::min(candidates_.size(), static_cast<size_t>(std::max(count, 0)));
  std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(kept),
                    candidates_.end(), [&](TokenId a, TokenId b) {
                      const float x = row_[static_cast<size_t>(a)],
                                  y = row_[static_cast<size_t>(b)];
                      return x != y ? x > y : a < b;
                    });
  std::vector<Choice> result;
  result.reserve(kept);
  for (size_t i = 0; i < kept; ++i)
    result.push_back({candidates_[i], log_probability(candidates_[i])});
  return result;
}

TokenId Sampler::draw(int64_t position, uint64_t round, std::span<const TokenId> allowed) {
  const Rng arrivals =
      Rng(options_.seed, stream_).fork(static_cast<uint64_t>(position)).fork(round);
  const auto weight = [this](TokenId id) {
    return static_cast<double>(weights_[static_cast<size_t>(id)]);
  };
  const auto scale = static_cast<float>(1 / options_.temperature);
  weights_.resize(row_.size());
  const auto weigh = [&](TokenId top) {
    kernels::kernels().exp_sum(row_.data(), row_[static_cast<size_t>(top)], scale, vocabulary_,
                               weights_.data());
  };
  if (allowed.empty() && options_.top_k == 0 && options_.top_p >= 1) {
    weigh(best_);
    return race(AllIds{vocabulary_}, best_, weight, arrivals);
  }
  if (allowed.empty()) {
    candidates_.resize(static_cast<size_t>(vocabulary_));
    std::iota(candidates_.begin(), candidates_.end(), 0);
  } else {
    candidates_.assign(allowed.begin(), allowed.end());
  }
  const TokenId top =
      *std::max_element(candidates_.begin(), candidates_.end(), [&](TokenId a, TokenId b) {
        return row_[static_cast<size_t>(a)] < row_[static_cast<size_t>(b)];
      });
  if (allowed.empty()) {
    weigh(top);
  } else {
    // Relative to the best allowed one: the whole set may be improbable.
    for (const TokenId id : candidates_) {
      const double distance =
          static_cast<double>(row_[static_cast<size_t>(id)]) - row_[static_cast<size_t>(top)];
      weights_[static_cast<size_t>(id)] =
          static_cast<float>(std::exp(distance / options_.temperature));
    }
  }
  keep_top_k();
  keep_top_p();
  return race(candidates_, top, weight, arrivals);
}

void Sampler::keep_top_k() {
  const auto k = static_cast<size_t>(options_.top_k);
  if (k == 0 || k >= candidates_.size()) return;
  std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(k - 1),
                   candidates_.end(), [&](TokenId a, TokenId b) {
                     const float x = row_[static_cast<size_t>(a)], y = row_[static_cast<size_t>(b)];
                     return x != y ? x > y : a < b;
                   });
  candidates_.resize(k);
}

// The smallest set of most probable candidates that holds at least top_p of their mass.
void Sampler::keep_top_p() {
  if (options_.top_p >= 1) return;
  const auto weight = [this](TokenId id) {
    return static_cast<double>(weights_[static_cast<size_t>(id)]);
  };
  double total = 0;
  for (const TokenId id : candidates_) total += weight(id);
  // All candidates below this together miss less than 1 - top_p: the set never needs them, and few
  // remain to sort.
  const double floor = (1 - options_.top_p) * total / static_cast<double>(candidates_.size());
  std::erase_if(candidates_, [&](TokenId id) { return weight(id) < floor; });
  std::sort(candidates_.begin(), candidates_.end(), [&](TokenId a, TokenId b) {
    const double x = weight(a), y = weight(b);
    return x != y ? x > y : a < b;
  });
  double mass = 0;
  size_t kept = 0;
  while (kept < candidates_.size() && (kept == 0 || mass < options_.top_p * total)) {
    mass += weight(candidates_[kept++]);
  }
  candidates_.resize(kept);
}

}  // namespace alambic
