// The decoders behind make_decoder(). Each looks at its model; thread safety and errors as in
// decode.h.
#pragma once

#include <mutex>

#include "alambic/decode/decode.h"
#include "alambic/decode/drafting.h"

namespace alambic {

class AutoregressiveDecoder final : public Decoder {
 public:
  explicit AutoregressiveDecoder(const LanguageModel& model) : model_(model) {}
  Generation generate(const Prompt& prompt, const GenerateOptions& options,
                      const TokenSink& sink) const override;
  // Many prompts in ragged forwards: a prompt that ends makes room for the next one at once.
  std::vector<Generation> generate_all(std::span<const Prompt> prompts,
                                       const GenerateOptions& options,
                                       const BatchOptions& batch) const override;

 private:
  const LanguageModel& model_;
};

// The text of `ar` in fewer forwards; drafting.h says how. What a call learns about the cost of
// rows and about acceptance, the next one starts with.
class DraftingDecoder final : public Decoder {
 public:
  DraftingDecoder(const LanguageModel& model, DraftSource source)
      : model_(model), source_(source) {}
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
  void validate(const GenerateOptions& options) const;

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
