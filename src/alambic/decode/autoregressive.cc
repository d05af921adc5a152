#include <algorithm>
#include <memory>
#include <optional>

#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"
#include "alambic/base/interrupt.h"
#include "alambic/base/progress.h"
#include "alambic/decode/decoders.h"
#include "alambic/decode/ragged.h"

namespace alambic {
namespace {

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
  RaggedStep step;
  while (!session[0]->done()) step.run(model_, session);
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
  RaggedStep step;
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
    if (!running.empty()) step.run(model_, running);
    if (progress) progress->update(static_cast<int64_t>(finished));
  }
  return results;
}

}  // namespace alambic
