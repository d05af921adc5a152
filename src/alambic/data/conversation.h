// Conversations: reading them from rows in the forms of the field, and rendering them for training.
//
// Forms: OpenAI's `messages` ([{role, content, tool_calls …}]) and ShareGPT's `conversations`
// ([{from, value}]). Thread safety: plain functions. Errors: kCorruptData naming the row for a form
// that is broken; those of ChatTemplate; kUnsupported for a template whose text does not grow turn
// by turn.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/data/example.h"
#include "alambic/text/chat_template.h"

namespace alambic {

// The conversation in `row`, from `messages`, from `conversations`, or from a `prompt` (and
// `completion`) that is a list of messages; with `system` before it and `tools` beside it, where
// the row has them (`tools` may be JSON in a text). False where the row is none of these.
bool read_conversation(const OrderedJson& row, std::string_view where, Example& example);

// The example as messages: its own, or its prompt and completion as one exchange.
OrderedJson conversation_of(const Example& example);

// How often the assistant speaks in the example's conversation; 0 where it is none.
int answers_in(const Example& example);

struct ConversationPart {
  std::string text;
  bool learn;  // whether the model is to learn to write it

  bool operator==(const ConversationPart&) const = default;
};

// The conversation as the template writes it, cut where learning begins and ends. What a template
// marks with {% generation %} is learned; without markers, what each assistant turn adds to the
// text before it (with its generation prompt), which the template must then leave alone as the
// conversation grows, but for white space at its end. Pieces joined are the template's text, byte
// for byte. `variables` as in ChatInput.
std::vector<ConversationPart> render_conversation(
    const ChatTemplate& chat, const OrderedJson& messages, const OrderedJson& tools = {},
    const OrderedJson& variables = OrderedJson::object());

}  // namespace alambic
