// Examples as a model sees them: template around the prompt, answer, end of text.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "alambic/data/example.h"
#include "alambic/data/left_out.h"
#include "alambic/decode/prompting.h"
#include "alambic/train/objective.h"

namespace alambic {

inline constexpr const char* kEndToken = "<|endoftext|>";
inline constexpr const char* kAnswerToken = "<|answer|>";

// Prompt, completion and end-of-text; nothing if that is longer than `max_tokens`. Through a card's
// chat template a conversation goes whole, and what its assistant says is learned. Of a form (a
// card with a blank) the completion alone, of which the blanks are learned. Where the card has a
// canvas, the answer is filled up to it with end-of-text, and nothing comes back if it does not
// fit. kInvalidArgument for a form whose completion is not its prompt filled in.
std::optional<Sequence> encode_example(const Tokenizer& tokenizer, const ModelCard& card,
                                       const Example& example, int max_tokens);

// Whether somebody else speaks between two stretches of what is learned, as between the answers of
// a conversation.
bool has_several_answers(const std::vector<bool>& learned);

// A canvas has one size, whatever is written on it: what the answer leaves of it becomes `end`.
// False where the answer does not fit.
bool pad_to_canvas(Sequence& s, int canvas, TokenId end);

// All examples that fit; `left_out` gets a line for each of the others, in order.
std::vector<Sequence> encode_examples(const Tokenizer& tokenizer, const ModelCard& card,
                                      const std::vector<Example>& examples, int max_tokens,
                                      std::vector<LeftOut>* left_out = nullptr);

}  // namespace alambic
