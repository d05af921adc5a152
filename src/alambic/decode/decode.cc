#include "alambic/decode/decode.h"

#include "alambic/base/error.h"
#include "alambic/base/interrupt.h"
#include "alambic/base/progress.h"
#include "alambic/decode/decoders.h"
#include "alambic/decode/masked.h"

namespace alambic {
namespace {

constexpr DecodeMode kModes[] = {DecodeMode::kAutoregressive, DecodeMode::kLookup,
                                 DecodeMode::kSpeculative, DecodeMode::kDiffusion};

void require_mode(DecodeMode mode, const ModelConfig& config) {
  if (config.causal || mode == DecodeMode::kDiffusion) return;
  fail(ErrorCode::kUnsupported,
       "[decode] {} writes from left to right, and in this model every row sees every row; want "
       "diffusion",
       name_of(mode));
}

}  // namespace

DecodeMode decode_mode_from_name(std::string_view name) {
  for (const DecodeMode mode : kModes) {
    if (name == name_of(mode)) return mode;
  }
  fail(ErrorCode::kInvalidArgument,
       "[decode] mode; got \"{}\", want ar, lookup, speculative or diffusion", name);
}

std::string_view name_of(DecodeMode mode) {
  switch (mode) {
    case DecodeMode::kAutoregressive:
      return "ar";
    case DecodeMode::kLookup:
      return "lookup";
    case DecodeMode::kSpeculative:
      return "speculative";
    case DecodeMode::kDiffusion:
      return "diffusion";
  }
  return "";
}

DecodeMode natural_mode(const ModelConfig& config) {
  return config.causal ? DecodeMode::kAutoregressive : DecodeMode::kDiffusion;
}

std::unique_ptr<Decoder> make_decoder(DecodeMode mode, const LanguageModel& model) {
  require_mode(mode, model.config());
  if (mode == DecodeMode::kAutoregressive) {
    return std::make_unique<CausalDecoder>(model, DraftSource::kNone);
  }
  if (mode == DecodeMode::kLookup) {
    return std::make_unique<CausalDecoder>(model, DraftSource::kLookup);
  }
  const ModelConfig& config = model.config();
  if (config.mask < 0 || config.mask >= config.vocab_size) {
    fail(ErrorCode::kUnsupported,
         "[decode] {} needs a model with a MASK token, and this one was not trained to draft; use "
         "ar or lookup, or adapt it with alambic train --adapt",
         name_of(mode));
  }
  if (mode == DecodeMode::kSpeculative) {
    return std::make_unique<CausalDecoder>(model, DraftSource::kMasks);
  }
  if (!config.causal) return std::make_unique<MaskedDecoder>(model);
  return std::make_unique<DiffusionDecoder>(model);
}

std::vector<Generation> generate_all(DecodeMode mode, const LanguageModel& model,
                                     std::span<const Prompt> prompts,
                                     const GenerateOptions& options, const BatchOptions& batch) {
  const std::unique_ptr<Decoder> decoder = make_decoder(mode, model);
  return decoder->generate_all(prompts, options, batch);
}

std::vector<Generation> Decoder::generate_all(std::span<const Prompt> prompts,
                                              const GenerateOptions& options,
                                              const BatchOptions& batch) const {
  std::vector<Generation> results;
  results.reserve(prompts.size());
  std::unique_ptr<Progress> progress;
  if (!batch.progress.empty()) {
    progress = std::make_unique<Progress>(batch.progress, static_cast<int64_t>(prompts.size()));
  }
  for (const Prompt& prompt : prompts) {
    throw_if_interrupted("decode", "run the same command again (a run goes on with --resume)");
    results.push_back(generate(prompt, options));
    if (progress) progress->update(static_cast<int64_t>(results.size()));
  }
  return results;
}

}  // namespace alambic
