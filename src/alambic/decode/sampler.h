// From a row of logits to a token. MASK and ids outside the vocabulary have probability 0 here, so
// no decoder can write them.
//
// A draw is an exponential race: token i arrives after E_i / p_i, where E_i is a pure function of
// (seed, stream, position, i), and the first one wins. Rows with equal logits thus draw equal
// tokens whatever else was drawn, and rows with similar logits draw the same token with high
// probability: a draft made at the same position of the text agrees with its verifier as often as
// their distributions overlap. Thread safety: one object, one thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "alambic/base/token.h"
#include "alambic/decode/decode.h"
#include "alambic/tensor/row_summary.h"

namespace alambic {

struct Choice {
  TokenId token;
  double log_probability;  // at temperature 1, before top_k and top_p
};

class Sampler {
 public:
  // Looks at `options`, which must outlive it.
  Sampler(const ModelConfig& config, const GenerateOptions& options, uint64_t stream);

  int vocabulary() const { return vocabulary_; }
  bool writable(TokenId token) const { return token >= 0 && token < vocabulary_ && token != mask_; }
  // The columns of a row of logits that can be written.
  CountedColumns columns() const { return {vocabulary_, mask_}; }
  // Greedy text over all tokens wants no more of a row than its summary over columns().
  bool wants_summaries() const {
    return options_.temperature == 0 && options_.constraint == nullptr;
  }
  const GenerateOptions& options() const { return options_; }
  // The most probable token.
  static Choice choose(const RowSummary& row);
  // The token number `position` of the text: the most probable one, or a draw. `allowed`: only
  // these, ascending; empty: all. `round` tells apart draws that replace each other.
  Choice choose(std::span<const float> logits, int64_t position,
                std::span<const TokenId> allowed = {}, uint64_t round = 0);

  struct Verdict {
    double log_probability, best;  // of the token, and of the most probable one
  };
  Verdict judge(std::span<const float> logits, TokenId token);
  // At temperature 1, of writable tokens.
  std::vector<double> log_probabilities(std::span<const float> logits,
                                        std::span<const TokenId> tokens);
  // In nats, of writable tokens at temperature 1.
  double entropy(std::span<const float> logits);
  // The `count` most probable writable tokens, the first one first; at temperature 1.
  std::vector<Choice> best(std::span<const float> logits, int count);

 private:
  void read(std::span<const float> logits);
  double log_probability(TokenId token) const {
    return row_[static_cast<size_t>(token)] - log_sum_;
  }
  TokenId draw(int64_t position, uint64_t round, std::span<const TokenId> allowed);
  void keep_top_k();
  void keep_top_p();

  const GenerateOptions& options_;
  TokenId mask_;
  int vocabulary_;
  uint64_t stream_;
  std::vector<float> row_;      // the one that was read last
  std::vector<float> weights_;  // of a draw's candidates, unnormalised
  TokenId best_ = 0;
  double log_sum_ = 0;
  std::vector<TokenId> candidates_;
};

}  // namespace alambic
