// Writing text with a model, in several ways from one set of weights:
//   ar           one token per forward, exact cache
//   speculative  masks draft several tokens, the same weights verify them causally: the tokens are
//                those of `ar`, greedy or sampled, because every random draw is a pure function of
//                (seed, stream, position)
//   lookup       as speculative, with drafts from what stood behind the same words earlier; for any
//                causal model
//   diffusion    blocks of masks revealed by confidence, corrected under the causal model, then
//   committed
// Models in which every row sees every row write by diffusion alone, over the whole text
// (masked.h).
//
// MASK and ids from `vocabulary` on are never written. What is written for a prompt does not depend
// on what else runs. Ownership: a Decoder looks at its model, which must outlive it; caches live
// for one call. Thread safety: calls on one frozen model may run at the same time. Errors:
// kInvalidArgument for prompts and options that cannot be carried out, kUnsupported for a mode that
// this model was not trained for, kCorruptData for a model whose logits are not numbers.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/token.h"
#include "alambic/decode/reveal.h"
#include "alambic/decode/token_trie.h"
#include "alambic/models/language_model.h"

namespace alambic {

enum class DecodeMode { kAutoregressive, kLookup, kSpeculative, kDiffusion };

// "ar", "lookup", "speculative", "diffusion"; kInvalidArgument for any other name.
DecodeMode decode_mode_from_name(std::string_view name);
std::string_view name_of(DecodeMode mode);

// Of the drafts of a step: masks for each way in which they can come out.
inline constexpr int kEveryOutcome = 1 << 20;

struct Prompt {
  std::vector<TokenId> tokens;  // at least one
  uint64_t stream = 0;          // prompts that share a seed draw alike unless this differs
};

// A text in the making, after a forward that changed it.
struct Refinement {
  std::span<const TokenId> settled;  // what will not change any more
  std::span<const TokenId> open;     // what follows it: MASK where nothing is written yet
  int64_t forwards;
};
using RefinementSink = std::function<void(const Refinement&)>;

struct GenerateOptions {
  int max_tokens = 128;    // also bounded by the positions that the model has
  double temperature = 0;  // 0: greedy; else 0.001 to 100
  int top_k = 0;           // 0: all
  double top_p = 1;        // applied after top_k
  uint64_t seed = 0;
  // End-of-text tokens: they end the text and are not part of it. Where there are some, a text that
  // runs in circles (circles.h) is cut short; not from a closed set, nor on a canvas.
  std::vector<TokenId> stop;
  int vocabulary = 0;  // ids from here on are never written; 0: all that the model has
  Precision precision = Precision::kFp32;
  // Not for diffusion: write one member of this set, to its end. Where a member
  // is the beginning of another, a stop token ends it, so `stop` must name one.
  const TokenTrie* constraint = nullptr;

  // Speculative: masks of a draft group, the first of which stands where the causal row decides, so
  // that at most block - 1 drafts are verified. Diffusion: tokens of a block. 0: the model was not
  // trained for either.
  int block = 8;
  // Lookup and speculative. Drafts of a step, and for how many of their outcomes the next ones are
  // made in the same step: 0 drafts and verifies in turn, 1 bets on one, kEveryOutcome covers all.
  // -1: as many as pay, by what rows cost here and how drafts fare.
  int drafts = -1, outcomes = -1;
  // Diffusion only.
  RevealOptions reveal;
  // Replace a written token of the open block where another is at least this probable; 0: never.
  double edit = 0;
  // Mask again what is causally less probable than this share of the best token there.
  double remask = 0.1;
  int max_refinements = 8;  // rounds of re-masking per block
  // What follows the text: exactly max_tokens are written between prompt and suffix, fewer than a
  // block. Not for bidirectional models, where a prompt may hold masks anywhere.
  std::vector<TokenId> suffix;
  // Bidirectional models only (masked.h).
  int steps = 0;         // forwards in all; 0: as many as the rule of reveal takes
  int remask_steps = 0;  // rounds in which the least sure tokens are written once more
  // Sees every state of the text; null: nobody does.
  const RefinementSink* watch = nullptr;
  // Diffusion only. Looked at before each forward: once true, the generation throws kInterrupted.
  const std::atomic<bool>* abandoned = nullptr;
};

// Drafts of one distance: the first stands behind the last settled token.
struct DraftCount {
  int64_t judged = 0;    // all before them stood
  int64_t accepted = 0;  // and so did they
};

struct Generation {
  std::vector<TokenId> tokens;
  int64_t forwards = 0, rows = 0;  // that this prompt took part in; its rows there
  int64_t decided = 0;             // tokens and, where one ended the text, the stop token
  // Of all that was decided, under the causal model at temperature 1. Speculative and ar
  // agree to the bit. A bidirectional model: of each token when it was written.
  double log_probability = 0;
  bool stopped = false;  // by a stop token or the end of a choice, rather than by a limit, the sink
                         // or the circles it ran in
  bool in_circles = false;  // the text repeated itself over and over, and was cut (circles.h)
  std::vector<DraftCount> drafts;  // by distance, where the mode drafts
  double seconds = 0;  // in a batch: this prompt's share of each forward, so that they add up

  double tokens_per_forward() const {
    return forwards == 0 ? 0.0 : static_cast<double>(decided) / static_cast<double>(forwards);
  }
};

// Called with each token as it is settled; false ends the generation after this token.
using TokenSink = std::function<bool(TokenId)>;

struct BatchOptions {
  int batch = 32;        // prompts per forward; diffusion goes one by one
  std::string progress;  // label of the progress line; empty: none
};

class Decoder {
 public:
  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  virtual ~Decoder() = default;
  virtual Generation generate(const Prompt& prompt, const GenerateOptions& options,
                              const TokenSink& sink = {}) const = 0;
  // As the function of that name; one by one, unless a mode can do better.
  virtual std::vector<Generation> generate_all(std::span<const Prompt> prompts,
                                               const GenerateOptions& options,
                                               const BatchOptions& batch) const;
};

// How a model writes where nobody says how: by diffusion if it is bidirectional, else "ar".
DecodeMode natural_mode(const ModelConfig& config);

// kUnsupported where the mode needs a MASK token and the model has none, and for any mode but
// diffusion of a bidirectional model.
std::unique_ptr<Decoder> make_decoder(DecodeMode mode, const LanguageModel& model);

// The generation of every prompt, in order: the tokens and log-probabilities of generate() of each
// alone. Tokens that all prompts begin with are read once, and count for none of them.
// Throws kInterrupted between forwards after Ctrl-C.
std::vector<Generation> generate_all(DecodeMode mode, const LanguageModel& model,
                                     std::span<const Prompt> prompts,
                                     const GenerateOptions& options,
                                     const BatchOptions& batch = {});

// log p(member | prompt) at temperature 1 of every member of the set, in order; the prompt and
// shared beginnings are computed once. `vocabulary` as above.
std::vector<double> score_choices(const LanguageModel& model, const Prompt& prompt,
                                  const TokenTrie& choices, Precision precision,
                                  int vocabulary = 0);

}  // namespace alambic
