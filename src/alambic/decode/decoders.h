// The three decoders behind make_decoder(). Each looks at its model; thread safety and errors as in
// decode.h.
#pragma once

#include "alambic/decode/decode.h"

namespace alambic {

class AutoregressiveDecoder final : public Decoder {
 public:
  explicit AutoregressiveDecoder(const LanguageModel& model) : model_(model) {}
  Generation generate(const Prompt& prompt, const GenerateOptions& options,
                      const TokenSink& sink) const override;
  // Many prompts in ragged forwards: a prompt that ends makes room for the next one at once.
  std::vector<Generation> generate_all(std::span<const Prompt> prompts,
                                       const GenerateOptions& options,
                                       const BatchOptions& batch) const;

 private:
  const LanguageModel& model_;
};

// One forward per step verifies the drafts of the step before and makes new ones for every outcome:
//   group 0        [pending | drafts], causal, with the cache; the row before a draft decides
//   whether it stands group 1 + j    masks that see the cache and group 0 up to draft j, for the
//   case that j drafts stand; the first
//                  stands where a causal row decides, the others are the next drafts
// so no step is spent on drafting alone.
class SpeculativeDecoder final : public Decoder {
 public:
  explicit SpeculativeDecoder(const LanguageModel& model) : model_(model) {}
  Generation generate(const Prompt& prompt, const GenerateOptions& options,
                      const TokenSink& sink) const override;

 private:
  const LanguageModel& model_;
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
