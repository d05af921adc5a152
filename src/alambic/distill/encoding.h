// Examples as a model sees them: template around the prompt, answer, end of text.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "alambic/data/example.h"
#include "alambic/data/left_out.h"
#include "alambic/decode/encoding.h"
#include "alambic/decode/prompting.h"
#include "alambic/train/objective.h"

namespace alambic {

inline constexpr const char* kEndToken = "<|endoftext|>";
inline constexpr const char* kAnswerToken = "<|answer|>";

struct EncodedExample {
  std::vector<Sequence> sequences;  // as Encoder::encode; none where the example is left out
  std::optional<LeftOut> left_out;  // and why
  bool template_ends = true;        // its answers end as the card's template has it
};

// Left out is what has more than `max_tokens` tokens or nothing to learn, or what the template
// refuses. Where the card has a canvas, the answer is filled up to it with end-of-text, and is too
// long if it does not fit.
EncodedExample encode_sequences(const Encoder& encoder, const Example& example, int max_tokens);

// The one sequence of an example of one_for_each_text(), nothing where there is none.
std::optional<Sequence> encode_example(const Tokenizer& tokenizer, const ModelCard& card,
                                       const Example& example, int max_tokens);

// Examples of one sequence each: conversations of which the card's template can only render one
// answer at a time are cut into one example for each answer, all others stay as they are.
// `left_out` gets a line for each that encode_sequences() leaves out, in order.
std::vector<Example> one_for_each_text(const Tokenizer& tokenizer, const ModelCard& card,
                                       const std::vector<Example>& examples, int max_tokens,
                                       std::vector<LeftOut>* left_out = nullptr);

// Whether somebody else speaks between two stretches of what is learned, as between the answers of
// a conversation.
bool has_several_answers(const std::vector<bool>& learned);

// A canvas has one size, whatever is written on it: what the answer leaves of it becomes `end`.
// False where the answer does not fit.
bool pad_to_canvas(Sequence& s, int canvas, TokenId end);

// The sequences of all examples that have some; `left_out` gets a line for each of the others, in
// order. Says once, on standard error, where the card's chat template ends no answer.
std::vector<Sequence> encode_examples(const Tokenizer& tokenizer, const ModelCard& card,
                                      const std::vector<Example>& examples, int max_tokens,
                                      std::vector<LeftOut>* left_out = nullptr);

}  // namespace alambic
