#include "alambic/cli/decode_options.h"

#include <algorithm>

#include "alambic/base/error.h"
#include "alambic/cli/checks.h"
#include "alambic/decode/quality.h"

namespace alambic {

void add_decode_options(CLI::App& verb, DecodeArguments& o) {
  auto* decode =
      verb.add_option(
              "--decode", o.decode,
              "How to write: ar; speculative (the same text in fewer steps); lookup (the "
              "same, drafts from what the text repeats); diffusion. Default: ar, or diffusion "
              "of a bidirectional model")
          ->check(CLI::IsMember({"ar", "lookup", "speculative", "diffusion"}));
  verb.add_option("--quality", o.quality,
                  "Instead of --decode: 1 loses nothing, 0 is the fastest; see alambic calibrate")
      ->check(number_within(0, 1))
      ->excludes(decode);
  verb.add_option("--max-tokens", o.generate.max_tokens, "Longest text")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  verb.add_option("--block", o.generate.block,
                  "Length of drafts and diffusion blocks; 0: as the model was trained")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  verb.add_option("--drafts", o.drafts,
                  "Speculative and lookup: drafts of a step; 0: as many as pay on this machine")
      ->check(CLI::Range(0, 31))
      ->capture_default_str();
  verb.add_option(
          "--layout", o.layout,
          "Speculative: masks for every outcome of the drafts (quadratic), for the likeliest "
          "(fused), in a step of their own (turns), or what pays (auto)")
      ->check(CLI::IsMember({"auto", "turns", "fused", "quadratic"}))
      ->capture_default_str();
  verb.add_option("--reveal", o.reveal,
                  "Diffusion: which masks become tokens: those above a threshold of probability, "
                  "the surest within a bound of entropy, or a count")
      ->check(CLI::IsMember({"threshold", "entropy", "count"}))
      ->capture_default_str();
  RevealOptions& reveal = o.generate.reveal;
  verb.add_option("--threshold", reveal.threshold,
                  "Diffusion: accept tokens at least this probable; lower is faster, above 1 is "
                  "one at a time")
      ->check(number_within(0, 2))
      ->capture_default_str();
  verb.add_option("--entropy-bound", reveal.entropy_bound, "Diffusion by entropy: nats a step")
      ->check(at_least_zero())
      ->capture_default_str();
  verb.add_option("--reveal-count", reveal.count, "Diffusion by count: tokens a step")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  verb.add_option("--edit", o.generate.edit,
                  "Diffusion: replace a written token where another is this probable; 0: never")
      ->check(number_within(0, 1))
      ->capture_default_str();
  verb.add_option(
          "--remask", o.generate.remask,
          "Diffusion: write again what the causal model finds less probable than this share "
          "of its favourite; 0: nothing, 1: all but the favourite")
      ->check(number_within(0, 1))
      ->capture_default_str();
  verb.add_option("--steps", o.generate.steps,
                  "Bidirectional models: forwards per text; 0: as many as --reveal takes")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  verb.add_option("--remask-steps", o.generate.remask_steps,
                  "Bidirectional models: rounds in which the least sure tokens are rewritten")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
}

DecodeSettings decode_settings(const DecodeArguments& o, const ModelCard& card,
                               const ModelConfig& config) {
  DecodeSettings settings{o.decode.empty() ? natural_mode(config) : decode_mode_from_name(o.decode),
                          o.generate};
  GenerateOptions& g = settings.generate;
  if (card.block > 0 && g.block > card.block) {
    fail(ErrorCode::kInvalidArgument, "[--block] got {}; this model was trained with blocks of {}",
         g.block, card.block);
  }
  if (g.block == 0) g.block = card.block;
  g.reveal.rule = reveal_rule_from_name(o.reveal);
  if (o.drafts > 0) g.drafts = o.drafts;
  if (o.layout == "turns") g.outcomes = 0;
  if (o.layout == "fused") g.outcomes = 1;
  if (o.layout == "quadratic") g.outcomes = kEveryOutcome;
  if (card.canvas > 0) g.max_tokens = std::min(g.max_tokens, card.canvas);
  if (o.quality) settings.mode = apply(choose_quality(card.dial, *o.quality), g);
  return settings;
}

}  // namespace alambic
