// Conversations: reading them from rows in the forms of the field, and rendering them for training.
//
// Forms: OpenAI's `messages` ([{role, content, tool_calls …}]) and ShareGPT's `conversations`
// ([{from, value}]). Thread safety: plain functions. Errors: kCorruptData naming the row for a form
// that is broken; those of ChatTemplate; kUnsupported for a template whose text does not grow turn
// by turn.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/data/example.h"
#include "alambic/text/chat_template.h"
#include "alambic/text/special_guard.h"

namespace alambic {

// The conversation in `row`, from `messages`, from `conversations`, or from a `prompt` (and
// `completion`) that is a list of messages; with `system` before it and `tools` beside it, where
// the row has them (`tools` may be JSON in a text). Contents that are lists of parts of text become
// that text, as when a server is asked. False where the row is none of these or has no turns.
bool read_conversation(const OrderedJson& row, std::string_view where, Example& example);

// The example as messages: its own, or its prompt and completion as one exchange.
OrderedJson conversation_of(const Example& example);

// Messages as templates want them: "arguments" of a call that are the JSON text of an object become
// that object, with its order and its numbers; blank ones an empty one; other text stays.
OrderedJson with_argument_objects(OrderedJson messages);

// Whether a turn is the assistant's and is learned: an empty one teaches nothing, nor does one of
// "weight" 0.
bool holds_answer(const OrderedJson& turn);

// The conversation up to each of its answers, with that answer alone to learn.
std::vector<Example> one_for_each_answer(const Example& example);

// How many answers there are in the example's conversation; 0 where it is none.
int answers_in(const Example& example);

// A text of a template, and what in it is whose. Places are bytes.
struct RenderedConversation {
  std::string text;
  std::vector<std::pair<size_t, size_t>> answers;  // [begin, end) of what is learned, ascending
  std::vector<size_t> plain;  // what no special token may touch (EncodeOptions), ascending
};

// The conversation as the template writes it. What a template marks with {% generation %} is
// learned; without markers, what each assistant turn adds to the text before it (with its
// generation prompt), which the template must then leave alone as the conversation grows, but for
// white space at its end. Where it does not leave it alone (Qwen3 drops what was thought earlier),
// there is one text for each answer: of the conversation up to it, with that answer to learn. Where
// the generation prompt opens a "<think>" block, the answer goes on in it: its reasoning, the end
// of the block and the rest are learned. `input` holds the messages, tools and variables, in which
// nothing becomes a special token.
std::vector<RenderedConversation> render_conversation(const ChatTemplate& chat,
                                                      const SpecialGuard& guard, ChatInput input);
// Only the last answer of it.
RenderedConversation render_last_answer(const ChatTemplate& chat, const SpecialGuard& guard,
                                        ChatInput input);
// What is asked: all that comes before the next answer, with the generation prompt.
RenderedConversation render_question(const ChatTemplate& chat, const SpecialGuard& guard,
                                     ChatInput input);

}  // namespace alambic
