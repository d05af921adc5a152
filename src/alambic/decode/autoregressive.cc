#include "alambic/decode/decoders.h"
#include "alambic/decode/ragged.h"
#include "alambic/decode/ragged_batch.h"

namespace alambic {

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
  const TokenSink no_sink;
  RaggedStep step;
  return generate_ragged(
      model_, prompts, batch,
      [&](const Prompt& p) { return std::make_unique<Session>(model_, p, options, no_sink); },
      [](const std::unique_ptr<Session>& session) -> Session& { return *session; },
      [&](const auto& running) { step.run(model_, running); });
}

}  // namespace alambic
