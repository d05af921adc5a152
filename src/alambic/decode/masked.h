// Masked diffusion over a whole canvas, for models in which every row sees every row (LLaDA, arXiv
// 2502.09992; Dream, arXiv 2508.15487): each forward guesses all masks, the surest guesses are
// written (reveal.h), and what is written informs the next forward.
//
//   canvas    the prompt and max_tokens masks behind it; or, where the prompt itself holds masks, a
//             form: the prompt alone, filled in place. The text of a form is the whole form.
//   blocks    masks are resolved in groups of `block`, left to right (0: all together)
//   steps     so many forwards in all, each with its even share of the masks; 0: as many as the
//   rule
//             of `reveal` takes
//   the end   a stop token is only written once everything before it is. Models trained on padded
//             answers are surest of the padding, and a text that may end anywhere then ends at once
//   remask_steps  rounds after the canvas is full: the tokens that were least sure when they were
//             written are masked again, a quarter of them at first and fewer from round to round,
//             and rewritten in view of all others (after ReMDM, arXiv 2503.00307)
//
// Deterministic in (seed, stream), whatever runs beside. Ownership: looks at its model. Thread
// safety and errors as in decode.h; also kInvalidArgument for a prompt of masks alone, and for a
// canvas that has no room.
#pragma once

#include <span>
#include <vector>

#include "alambic/decode/decode.h"

namespace alambic {

class MaskedDecoder final : public Decoder {
 public:
  explicit MaskedDecoder(const LanguageModel& model) : model_(model) {}
  Generation generate(const Prompt& prompt, const GenerateOptions& options,
                      const TokenSink& sink) const override;
  // Several canvases in each forward.
  std::vector<Generation> generate_all(std::span<const Prompt> prompts,
                                       const GenerateOptions& options,
                                       const BatchOptions& batch) const override;

 private:
  const LanguageModel& model_;
};

}  // namespace alambic
