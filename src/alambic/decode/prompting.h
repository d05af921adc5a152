// From the text of a prompt to what a model was trained to continue.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "alambic/models/hf_directory.h"
#include "alambic/text/chat_template.h"
#include "alambic/text/tokenizer.h"

namespace alambic {

inline constexpr const char* kMaskToken = "<|mask|>";
// The task of models that solve puzzles: their prompts are checked (data/puzzles.h).
inline constexpr std::string_view kPuzzleTask = "solved";

// A single prompt as a model reads it: Encoder::prompt(), which says how. Where many are read, make
// one Encoder. In a form, each blank of the card becomes a MASK token.
// kInvalidArgument for a form without one and for a puzzle that cannot have a solution.
std::vector<TokenId> encode_prompt(const Tokenizer& tokenizer, const ModelCard& card,
                                   const std::string& prompt);

// Gives the card the chat templates that come with a model's files, a directory or GGUF; empty ones
// where there are none.
void use_own_chat_template(const std::string& model, ModelCard& card);
// What a model is asked through where nobody says otherwise: the card's template, else, of a model
// that alambic did not train, the one among its files; "" where there is none. Throws what
// ChatTemplate::parse() does for one that cannot be read, saying how to do without it.
void use_default_chat_template(const std::string& model, ModelCard& card);
// A card's chat template, with the tokenizer's special tokens as its variables.
ChatTemplate chat_template_of(const ModelCard& card, const Tokenizer& tokenizer);

// Tokens at which a model's text ends: the tokenizer's own, then those that its files name.
std::vector<TokenId> stop_tokens(const Tokenizer& tokenizer, const ModelConfig& config);
// The end-of-text token of a tokenizer; kInvalidArgument if it has none.
TokenId end_token(const Tokenizer& tokenizer);

}  // namespace alambic
