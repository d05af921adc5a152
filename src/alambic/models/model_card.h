// What a student needs to be used as it was trained, beyond its weights and its tokenizer. It
// travels as JSON: under the key "alambic" of config.json, or in a GGUF file's "alambic.card".
//
// Ownership: plain values. Thread safety: pure functions. Errors: kCorruptData naming the key.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/models/model_config.h"

namespace alambic {

// One setting of block diffusion, as it was measured on development data beside the same student's
// `ar`.
struct QualityPoint {
  bool lossless = false;                 // speculative decoding, which has no settings
  double threshold = 0.9, remask = 0.1;  // as GenerateOptions
  double kept = 1;                       // share of the score of `ar`
  double speed = 1;                      // tokens a second, as a multiple of those of `ar`
};

// Everything has a working default for foreign models.
struct ModelCard {
  std::string prompt_template =
      "{prompt}";                 // "{prompt}" is replaced; special tokens may stand around it
  std::string chat_template;      // Jinja; if there is one, prompts go through it instead
  std::string tool_use_template;  // the one for conversations with tools; "": the same
  // Ids at which the model's files say that a text ends, beside the tokenizer's own end. Not part
  // of the card's JSON: they are the configuration's.
  std::vector<TokenId> ends;
  std::string task;                 // what the model was trained for, "" if unknown
  std::vector<std::string> labels;  // the closed set of answers, for classifiers
  int block = 0;                    // length of diffusion blocks and drafts; 0: autoregressive only
  std::vector<QualityPoint>
      dial;           // fastest first; what --quality chooses from; empty: not measured
  int canvas = 0;     // masks that a bidirectional model resolves behind a prompt; 0: any number
  std::string blank;  // what stands for a mask in the prompts of forms, "" if prompts are none
  Json provenance = Json::object();  // teacher, data, recipe: copied to README.md
};

Json card_json(const ModelConfig& config, const ModelCard& card);
// Fills in the mask token of `sizes` as well.
ModelCard read_card(const Json& json, std::string_view where, ModelConfig& sizes);

std::string apply_template(const ModelCard& card, std::string_view prompt);

}  // namespace alambic
