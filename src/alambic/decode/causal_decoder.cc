#include "alambic/decode/causal_step.h"
#include "alambic/decode/decoders.h"
#include "alambic/decode/ragged_batch.h"

namespace alambic {

std::unique_ptr<CausalSession> CausalDecoder::start(const Prompt& prompt,
                                                    const GenerateOptions& options,
                                                    const TokenSink& sink,
                                                    const Acceptance& expected) const {
  auto running = std::make_unique<CausalSession>(model_, prompt, options, sink, source_);
  running->acceptance = expected;
  return running;
}

Generation CausalDecoder::generate(const Prompt& prompt, const GenerateOptions& options,
                                   const TokenSink& sink) const {
  History::Known known = history_.known();
  const std::unique_ptr<CausalSession> running[] = {start(prompt, options, sink, known.acceptance)};
  Session& session = running[0]->session;
  CausalStep step(model_, known.cost, known.patience);
  while (!session.done()) step.run(running);
  history_.learn({std::move(known.cost), running[0]->acceptance, step.patience()});
  return session.finish();
}

std::vector<Generation> CausalDecoder::generate_all(std::span<const Prompt> prompts,
                                                    const GenerateOptions& options,
                                                    const BatchOptions& batch) const {
  const TokenSink no_sink;
  History::Known known = history_.known();
  CausalStep step(model_, known.cost, known.patience);
  auto results = generate_ragged(
      model_, prompts, batch,
      [&](const Prompt& prompt) { return start(prompt, options, no_sink, known.acceptance); },
      [](const std::unique_ptr<CausalSession>& running) -> Session& { return running->session; },
      [&](const auto& running) {
        step.run(running);
        known.acceptance = running.front()->acceptance;
      });
  known.patience = step.patience();
  history_.learn(std::move(known));
  return results;
}

CausalDecoder::History::Known CausalDecoder::History::known() const {
  const std::lock_guard lock(mutex_);
  return known_;
}

void CausalDecoder::History::learn(Known known) {
  const std::lock_guard lock(mutex_);
  known_ = std::move(known);
}

}  // namespace alambic
