#include "alambic/base/error.h"
#include "alambic/decode/decoders.h"
#include "alambic/decode/drafting.h"
#include "alambic/decode/ragged_batch.h"

namespace alambic {
namespace {

// Prompts that start together are read in one forward: none takes more of it than this.
constexpr int kPromptRows = 256;

std::unique_ptr<DraftingSession> start(const LanguageModel& model, DraftSource source,
                                       const Prompt& prompt, const GenerateOptions& options,
                                       const TokenSink& sink, const Acceptance& expected) {
  auto running = std::make_unique<DraftingSession>(model, prompt, options, sink);
  running->acceptance = expected;
  if (source == DraftSource::kLookup) running->lookup.append(prompt.tokens);
  return running;
}

}  // namespace

void DraftingDecoder::validate(const GenerateOptions& options) const {
  if (source_ == DraftSource::kMasks && options.block == 0) {
    fail(ErrorCode::kUnsupported,
         "[decode] this model was not trained to draft; use ar or lookup, or adapt it with alambic "
         "train --adapt");
  }
}

Generation DraftingDecoder::generate(const Prompt& prompt, const GenerateOptions& options,
                                     const TokenSink& sink) const {
  validate(options);
  History::Known known = history_.known();
  const std::unique_ptr<DraftingSession> running[] = {
      start(model_, source_, prompt, options, sink, known.acceptance)};
  Session& session = running[0]->session;
  if (!session.done()) prefill(model_, session, kForwardRows);
  DraftingStep step(model_, source_, known.cost, known.patience);
  while (!session.done()) step.run(running);
  history_.learn({std::move(known.cost), running[0]->acceptance, step.patience()});
  return session.finish();
}

std::vector<Generation> DraftingDecoder::generate_all(std::span<const Prompt> prompts,
                                                      const GenerateOptions& options,
                                                      const BatchOptions& batch) const {
  validate(options);
  const TokenSink no_sink;
  History::Known known = history_.known();
  DraftingStep step(model_, source_, known.cost, known.patience);
  auto results = generate_ragged(
      model_, prompts, batch,
      [&](const Prompt& prompt) {
        return start(model_, source_, prompt, options, no_sink, known.acceptance);
      },
      [](const std::unique_ptr<DraftingSession>& running) -> Session& { return running->session; },
      [&](const auto& running) {
        for (const auto& r : running) {
          if (r->session.pending.size() > kPromptRows) prefill(model_, r->session, kPromptRows);
        }
        step.run(running);
        known.acceptance = running.front()->acceptance;
      });
  known.patience = step.patience();
  history_.learn(std::move(known));
  return results;
}

DraftingDecoder::History::Known DraftingDecoder::History::known() const {
  const std::lock_guard lock(mutex_);
  return known_;
}

void DraftingDecoder::History::learn(Known known) {
  const std::lock_guard lock(mutex_);
  known_ = std::move(known);
}

}  // namespace alambic
