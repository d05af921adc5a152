// A model directory, or a GGUF file, opened for use: weights, tokenizer and card, checked against
// each other.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "alambic/decode/decode.h"
#include "alambic/models/hf_directory.h"
#include "alambic/text/tokenizer.h"

namespace alambic {

struct OpenModel {
  LoadedModel loaded;
  Tokenizer tokenizer;

  const Transformer& model() const { return *loaded.model; }
  const ModelCard& card() const { return loaded.card; }
};

// For inference at `precision` alone. Throws what load_for_inference() and Tokenizer::load()
// throw, and kCorruptData where the tokenizer writes ids that the model does not have.
OpenModel open_model(const std::string& directory, Precision precision);
// With every weight in fp32, not packed yet.
OpenModel open_model_in_floats(const std::string& directory);

// Into a directory: the tokenizer's files as they lie in the directory `from`, or else made from
// the tokenizer.
void write_tokenizer(const Tokenizer& tokenizer, const std::string& from, const std::string& to);

// "fp32" or "bf16": of the products and of cached keys and values; products with quantised weights
// have their own. "": fp32 for weights in floating point, bf16 for quantised ones.
// kInvalidArgument for any other name.
Precision precision_from_name(const std::string& name, const std::string& directory);
inline constexpr const char* kPrecisionHelp =
    "Of the products and the cache: fp32 or bf16; default: fp32, or bf16 where weights are "
    "quantised";

// --chat-template, for verbs that ask a model something.
void add_chat_template_option(CLI::App& verb, std::string& name);
// Lets the card's prompts go through the named template: the model's own ("model"), a built-in one
// or that of a file; through none ("none"); "": as use_default_chat_template(). kInvalidArgument
// where there is none of that name.
void use_chat_template(const std::string& name, const std::string& model, ModelCard& card);

// The card's labels as the closed set of answers.
TokenTrie label_set(const OpenModel& model);

}  // namespace alambic
