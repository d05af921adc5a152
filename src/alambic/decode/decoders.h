// The decoders behind make_decoder(). Each looks at its model; thread safety and errors as in
// decode.h.
#pragma once

#include <mutex>

#include "alambic/decode/causal_step.h"
#include "alambic/decode/decode.h"

namespace alambic {

// The text of `ar`, where there are drafts in fewer forwards; causal_step.h says how. Many prompts
// run in ragged forwards: one that ends makes room for the next at once. What a call learns about
// the cost of rows and about acceptance, the next one starts with.
class CausalDecoder final : public Decoder {
 public:
  CausalDecoder(const LanguageModel& model, DraftSource source) : model_(model), source_(source) {}
  Generation generate(const Prompt& prompt, const GenerateOptions& options,
                      const TokenSink& sink) const override;
  std::vector<Generation> generate_all(std::span<const Prompt> prompts,
                                       const GenerateOptions& options,
                                       const BatchOptions& batch) const override;

 private:
  class History {
   public:
    struct Known {
      RowCost cost;
      Acceptance acceptance;
      Patience patience;
    };
    Known known() const;
    void learn(Known known);

   private:
    mutable std::mutex mutex_;
    Known known_;
  };
  std::unique_ptr<CausalSession> start(const Prompt& prompt, const GenerateOptions& options,
                                       const TokenSink& sink, const Acceptance& expected) const;

  const LanguageModel& model_;
  DraftSource source_;
  mutable History history_;
};

class DiffusionDecoder final : public Decoder {
 public:
  explicit DiffusionDecoder(const LanguageModel& model) : model_(model) {}
  Generation generate(const Prompt& prompt, const GenerateOptions& options,
                      const TokenSink& sink) const override;

 private:
  const LanguageModel& model_;
};

}  // namespace alambic
