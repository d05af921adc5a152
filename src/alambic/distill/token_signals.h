// What a model says about the tokens of a text, as signals are stored: draws, or top-k with the
// tail. Thread safety: plain functions that use all cores.
#pragma once

#include <span>
#include <vector>

#include "alambic/base/rng.h"
#include "alambic/data/signal.h"
#include "alambic/decode/token_trie.h"
#include "alambic/models/language_model.h"
#include "alambic/text/tokenizer.h"

namespace alambic {

// Sums up `logits` at a temperature as `draws` independent draws, with probabilities counts /
// draws.
TokenSignal draw_signal(std::span<const float> logits, double temperature, int draws, Rng& rng);
// The k largest probabilities and the tail. `always` takes the place of the least where it is not
// among the largest; -1: no such token.
TokenSignal top_k_signal(std::span<const float> logits, double temperature, int k,
                         TokenId always = -1);

struct TokenSignalOptions {
  SignalKind kind = SignalKind::kDraws;  // not texts
  int count = 12;                        // draws, or k
  double temperature = 1;
  uint64_t seed = 1;  // of the draws, with the row's example and sample and the token's place
  Precision precision = Precision::kBf16;
  bool list_own = false;  // of top-k, always list the row's own tokens
};

// Of each row, where it differs from the usual. Empty: of no row.
struct AskedRows {
  // Tokens behind its prompt that are an answer's; the others get empty signals. Empty for all.
  std::span<const std::vector<bool>> learned = {};
  // What the model reads in the place of the row's own prompt. Empty for the prompt itself.
  std::span<const std::vector<TokenId>> prompts = {};
  // The closed set that the answer comes from: nothing else is an alternative. Null for none.
  std::span<const TokenTrie* const> sets = {};
};

// Gives every row that has tokens its signals, in one forward of `model`, a causal one, frozen for
// inference, of these tokens. What no token stands for, and MASK, are no alternatives.
void add_token_signals(const LanguageModel& model, const Tokenizer& tokenizer,
                       const TokenSignalOptions& options, std::span<SignalRow> rows,
                       const AskedRows& asked = {});

}  // namespace alambic
