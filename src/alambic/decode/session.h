// One generation in progress: what was settled, what the cache holds, when to stop. Shared by all
// decoders, so that limits, stop tokens, closed sets and counts mean the same in each.
//
// Ownership: owns its cache; looks at options, sink and model, which must outlive it. One session,
// one thread.
#pragma once

#include <span>
#include <vector>

#include "alambic/decode/circles.h"
#include "alambic/decode/decode.h"
#include "alambic/decode/head_rows.h"
#include "alambic/decode/sampler.h"

namespace alambic {

// Rows of one forward when prompts are read in; more only wants more memory.
inline constexpr int kForwardRows = 1024;

class Session {
 public:
  // Throws kInvalidArgument for a prompt or options that this model cannot carry out.
  Session(const LanguageModel& model, const Prompt& prompt, const GenerateOptions& options,
          const TokenSink& sink);

  // Starts behind a prefix of the prompt, shorter than it, that another forward has read.
  void adopt(const KvCache& prefix);

  bool done() const { return done_; }
  int remaining() const { return limit_ - static_cast<int>(result_.tokens.size()); }
  // Number of the next token of the text.
  int64_t position() const { return static_cast<int64_t>(result_.tokens.size()); }
  bool is_stop(TokenId token) const;
  // Settled so far.
  std::span<const TokenId> tokens() const { return result_.tokens; }
  int64_t forwards() const { return result_.forwards; }
  const GenerateOptions& options() const { return options_; }
  Sampler& sampler() { return sampler_; }

  // The next token, as the causal row of the token before it says.
  Choice choose(const HeadRows& rows, int64_t row);
  // Settles the next token. It is pending then, unless the generation is done.
  void append(const Choice& choice);
  // Guesses of the tokens that follow, from `count` rows: row first + i stands at the i-th. Settles
  // nothing; ends early where the text would.
  std::vector<Choice> draft(const HeadRows& rows, int64_t first, int64_t count);

  // Throws kInterrupted where nobody waits for this text any more.
  void require_reader() const;
  void count_forward(int64_t rows);
  // Of `judged` drafts the first `accepted` stood.
  void count_drafts(int judged, int accepted);
  void add_seconds(double seconds) { result_.seconds += seconds; }
  Generation finish() { return std::move(result_); }

  KvCache cache;
  std::vector<TokenId>
      pending;  // settled tokens that the cache does not hold yet, the last one included

 private:
  // What may follow a node of the closed set; empty: anything.
  std::vector<TokenId> allowed(int node) const;

  const GenerateOptions& options_;
  const TokenSink& sink_;
  Sampler sampler_;
  Generation result_;
  int limit_ = 0;
  int node_ = TokenTrie::kRoot;
  Circles circles_;
  bool done_ = false;
};

// Throw kInvalidArgument for options that nobody can carry out, and for a prompt that this model
// cannot read with room for so many tokens behind it.
void validate_options(const GenerateOptions& options);
void validate_prompt(const ModelConfig& config, const Prompt& prompt, int room);

// Throws kInvalidArgument unless the model can write every choice within `room` tokens.
void validate_choices(const TokenTrie& trie, const ModelConfig& config, int vocabulary, int room);

// Reads pending tokens into the cache, all but the last `keep` of them; in smaller pieces where the
// generation may be abandoned.
void prefill(const LanguageModel& model, Session& session, size_t keep);

// Logits of `rows` hidden rows from `first` on: [rows, vocab]
Tensor logits_of(const LanguageModel& model, const Tensor& hidden, int64_t first, int64_t rows,
                 Precision precision);

}  // namespace alambic
