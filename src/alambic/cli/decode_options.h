// The options that say how to write, the same for every verb that writes with a model.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "alambic/decode/decode.h"
#include "alambic/models/model_card.h"

namespace alambic {

struct DecodeArguments {
  std::string decode, layout = "auto", reveal = "threshold";
  std::optional<double> quality;
  int drafts = 0;  // 0: as many as pay
  GenerateOptions generate = {.block = 0};
};

// --decode, --quality, --max-tokens, --block, and the settings of single modes
void add_decode_options(CLI::App& verb, DecodeArguments& arguments);

struct DecodeSettings {
  DecodeMode mode = DecodeMode::kAutoregressive;
  GenerateOptions generate;
};
// For this model. kInvalidArgument or kUnsupported, in words of the options, for what
// this model cannot do.
DecodeSettings decode_settings(const DecodeArguments& arguments, const ModelCard& card,
                               const ModelConfig& config);

}  // namespace alambic
