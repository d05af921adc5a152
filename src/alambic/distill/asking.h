// What a teacher is asked: the turns of a conversation up to the answer that it is to write, or a
// prompt as what one user says.
//
// Thread safety: pure functions. Errors: those of chat templates.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/data/example.h"
#include "alambic/data/signal.h"
#include "alambic/decode/encoding.h"

namespace alambic {

// Without the last answer, where the last turn is one.
OrderedJson messages_to_ask(const Example& example);
// The same as a text: the example's prompt, or all turns where the last one is no answer.
std::string prompt_to_ask(const Example& example);
// A text as one user's message.
OrderedJson one_message(std::string_view prompt);
// As the API of endpoints has them: arguments of tool calls are texts, calls have names that
// results refer to. `system` stands in front, in one message with the conversation's own.
OrderedJson api_messages(const OrderedJson& messages, const std::string& system);

// How a model can be asked.
struct AskedThrough {
  bool turns = true;   // a chat template of its own, or the chat route
  bool joined = true;  // it was trained on conversations joined into one text
};
// Why a question cannot be asked; nothing where it can.
std::optional<AnswerKind> cannot_ask(const Example& example, const AskedThrough& through);

// What stands before the answer, in tokens: through the card's chat template turn by turn, else the
// example's prompt.
std::vector<TokenId> encode_question(const Encoder& encoder, const Example& example);

}  // namespace alambic
