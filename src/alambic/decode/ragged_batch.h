// Many prompts through a step that takes several sessions: a prompt that ends makes room for the
// next one at once, and what all prompts begin with is read once. Throws kInterrupted between
// forwards after Ctrl-C, and what step and sessions throw.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "alambic/base/error.h"
#include "alambic/base/interrupt.h"
#include "alambic/base/progress.h"
#include "alambic/decode/session.h"

namespace alambic {

// Tokens that all prompts begin with, where it pays to read them once; each keeps one of its own.
size_t shared_prefix(std::span<const Prompt> prompts);
// A cache that holds the prefix. `tokens` were validated by a session.
KvCache read_prefix(const LanguageModel& model, std::span<const TokenId> tokens,
                    Precision precision);

// `start(prompt)` makes a running session behind a pointer, `session_of(running)` gives its
// Session, `step(running sessions)` runs one forward.
template <class Start, class SessionOf, class Step>
std::vector<Generation> generate_ragged(const LanguageModel& model, std::span<const Prompt> prompts,
                                        const BatchOptions& batch, const Start& start,
                                        const SessionOf& session_of, const Step& step) {
  if (batch.batch < 1)
    fail(ErrorCode::kInvalidArgument, "[decode] batch; got {}, want 1 or more", batch.batch);
  std::vector<Generation> results(prompts.size());
  std::vector<decltype(start(prompts[0]))> running;
  std::vector<size_t> index;  // of the running ones' prompts
  size_t started = 0, finished = 0;
  const size_t shared = shared_prefix(prompts);
  std::optional<KvCache> prefix;
  std::unique_ptr<Progress> progress;
  if (!batch.progress.empty()) {
    progress = std::make_unique<Progress>(batch.progress, static_cast<int64_t>(prompts.size()));
  }
  while (finished < prompts.size()) {
    throw_if_interrupted("decode", "run the same command again (a run goes on with --resume)");
    while (started < prompts.size() && running.size() < static_cast<size_t>(batch.batch)) {
      running.push_back(start(prompts[started]));
      Session& session = session_of(running.back());
      if (shared > 0 && !session.done()) {
        if (!prefix) {
          prefix = read_prefix(model, std::span(session.pending).first(shared),
                               session.options().precision);
        }
        session.adopt(*prefix);
      }
      index.push_back(started++);
    }
    // A session may be done before it starts, where no token is wanted.
    for (size_t i = 0; i < running.size();) {
      Session& session = session_of(running[i]);
      if (!session.done()) {
        ++i;
        continue;
      }
      results[index[i]] = session.finish();
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      index.erase(index.begin() + static_cast<std::ptrdiff_t>(i));
      ++finished;
    }
    if (!running.empty()) step(running);
    if (progress) progress->update(static_cast<int64_t>(finished));
  }
  return results;
}

}  // namespace alambic
