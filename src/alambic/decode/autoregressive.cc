#include <algorithm>
#include <memory>
#include <optional>

#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"
#include "alambic/base/interrupt.h"
#include "alambic/base/progress.h"
#include "alambic/decode/decoders.h"
#include "alambic/decode/session.h"

namespace alambic {
namespace {

// What one forward is made of. Kept from step to step: a step of a running session allocates
// nothing.
struct Step {
  Forward forward;
  std::vector<TokenId> tokens;
  std::vector<int64_t> last_rows;
  HeadRows head;
};

// One forward over sessions that are not done: each reads a piece of what is pending, and those
// that have read it all settle a token. Sessions beyond the row budget wait, which changes nothing
// that they write.
void run_forward(const LanguageModel& model, std::span<const std::unique_ptr<Session>> sessions,
                 Step& step) {
  const NoGrad no_grad;
  const Stopwatch watch;
  auto& [forward, tokens, last_rows, head] = step;
  forward.precision = sessions.front()->options().precision;
  forward.groups.clear();
  tokens.clear();
  last_rows.clear();
  int budget = kForwardRows;
  for (const auto& session : sessions) {
    if (budget == 0) break;
    const auto rows =
        static_cast<int>(std::min<size_t>(session->pending.size(), static_cast<size_t>(budget)));
    budget -= rows;
    forward.groups.push_back({rows, session->cache.length(), true, {}, &session->cache});
    tokens.insert(tokens.end(), session->pending.begin(), session->pending.begin() + rows);
    if (static_cast<size_t>(rows) == session->pending.size()) {
      last_rows.push_back(static_cast<int64_t>(tokens.size()) - 1);
    }
  }
  const Tensor hidden = model.hidden(tokens, forward);
  // Only the last of the running sessions can be cut short by the budget, so the others' rows come
  // first in `head`.
  if (!last_rows.empty())
    head.read(model, gather_rows(hidden, last_rows), sessions.front()->sampler());
  int64_t next = 0;
  for (size_t i = 0; i < forward.groups.size(); ++i) {
    Session& session = *sessions[i];
    const int rows = forward.groups[i].rows;
    session.cache.commit(rows);
    session.count_forward(rows);
    session.pending.erase(session.pending.begin(), session.pending.begin() + rows);
    if (session.pending.empty()) session.append(session.choose(head, next++));
  }
  const double seconds = watch.seconds();
  for (size_t i = 0; i < forward.groups.size(); ++i) {
    sessions[i]->add_seconds(seconds * forward.groups[i].rows / static_cast<double>(tokens.size()));
  }
}

// Tokens that all prompts begin with, where it pays to read them once; each keeps one of its own.
size_t shared_prefix(std::span<const Prompt> prompts) {
  constexpr size_t kWorthwhile = 8;
  if (prompts.size() < 2) return 0;
  const std::vector<TokenId>& first = prompts.front().tokens;
  size_t shared = first.size();
  for (const Prompt& prompt : prompts) {
    const auto end =
        prompt.tokens.begin() + static_cast<std::ptrdiff_t>(std::min(shared, prompt.tokens.size()));
    const auto differs = std::mismatch(prompt.tokens.begin(), end, first.begin()).first;
    shared = static_cast<size_t>(differs - prompt.tokens.begin());
    if (shared == prompt.tokens.size() && shared > 0) --shared;
  }
  return shared >= kWorthwhile ? shared : 0;
}

// A cache that holds the prefix. `tokens` were validated by a session.
KvCache read_prefix(const LanguageModel& model, std::span<const TokenId> tokens,
                    Precision precision) {
  const NoGrad no_grad;
  KvCache cache = make_cache(model.config(), precision);
  while (!tokens.empty()) {
    const auto rows = static_cast<int>(std::min<size_t>(tokens.size(), kForwardRows));
    model.hidden(tokens.first(static_cast<size_t>(rows)),
                 {{{rows, cache.length(), true, {}, &cache}}, precision});
    cache.commit(rows);
    tokens = tokens.subspan(static_cast<size_t>(rows));
  }
  return cache;
}

}  // namespace

Generation AutoregressiveDecoder::generate(const Prompt& prompt, const GenerateOptions& options,
                                           const TokenSink& sink) const {
  const std::unique_ptr<Session> session[] = {
      std::make_unique<Session>(model_, prompt, options, sink)};
  Step step;
  while (!session[0]->done()) run_forward(model_, session, step);
  return session[0]->finish();
}

std::vector<Generation> AutoregressiveDecoder::generate_all(std::span<const Prompt> prompts,
                                                            const GenerateOptions& options,
                                                            const BatchOptions& batch) const {
  if (batch.batch < 1)
    fail(ErrorCode::kInvalidArgument, "[decode] batch; got {}, want 1 or more", batch.batch);
  const TokenSink no_sink;
  std::vector<Generation> results(prompts.size());
  std::vector<std::unique_ptr<Session>> running;
  std::vector<size_t> index;  // of the running ones' prompts
  size_t started = 0, finished = 0;
  Step step;
  const size_t shared = shared_prefix(prompts);
  std::optional<KvCache> prefix;
  std::unique_ptr<Progress> progress;
  if (!batch.progress.empty()) {
    progress = std::make_unique<Progress>(batch.progress, static_cast<int64_t>(prompts.size()));
  }
  while (finished < prompts.size()) {
    throw_if_interrupted("decode", "run the same command again");
    while (started < prompts.size() && running.size() < static_cast<size_t>(batch.batch)) {
      running.push_back(std::make_unique<Session>(model_, prompts[started], options, no_sink));
      Session& session = *running.back();
      if (shared > 0 && !session.done()) {
        if (!prefix) {
          prefix = read_prefix(model_, std::span(session.pending).first(shared), options.precision);
        }
        session.adopt(*prefix);
      }
      index.push_back(started++);
    }
    // A session may be done before it starts, where no token is wanted.
    for (size_t i = 0; i < running.size();) {
      if (!running[i]->done()) {
        ++i;
        continue;
      }
      results[index[i]] = running[i]->finish();
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      index.erase(index.begin() + static_cast<std::ptrdiff_t>(i));
      ++finished;
    }
    if (!running.empty()) run_forward(model_, running, step);
    if (progress) progress->update(static_cast<int64_t>(finished));
  }
  return results;
}

}  // namespace alambic
