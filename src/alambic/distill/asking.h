// What a teacher is asked: the turns of a conversation up to the answer that it is to write, or a
// prompt as what one user says.
//
// Thread safety: pure functions. Errors: those of chat templates.
#pragma once

#include <optional>
#include <span>
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
// results refer to.
OrderedJson api_messages(const OrderedJson& messages);

// What a teacher is told beside the question, by its owner. The student is asked without it.
struct Telling {
  std::string system;                        // before the conversation's own system message
  std::string prompt_template = "{prompt}";  // around what the user says last

  bool empty() const { return system.empty() && prompt_template == "{prompt}"; }
  bool operator==(const Telling&) const = default;
};
// The same with the labels where it says "{labels}", or else, where it says that nowhere, in the
// default words.
Telling with_labels_told(Telling telling, std::span<const std::string> labels);
// Notes what answers depend on besides the question, where there is any of it.
void describe_telling(const Telling& telling, std::span<const std::string> labels,
                      OrderedJson& sampling);
// Turns with it, and a text with it.
OrderedJson told_messages(OrderedJson messages, const Telling& telling);
std::string told_text(std::string_view prompt, const Telling& telling);
// The example with it: as turns (`chat`), or as one text.
Example told(const Example& example, const Telling& telling, bool chat);

// How a model can be asked.
struct AskedThrough {
  bool turns = true;   // a chat template of its own, or the chat route
  bool joined = true;  // it was trained on conversations joined into one text
};
// Why a question cannot be asked; nothing where it can.
std::optional<AnswerKind> cannot_ask(const Example& example, const AskedThrough& through);

// Whether a prompt ends in an open "<think>" block: what is written goes on in it.
bool opens_block(const Tokenizer& tokenizer, std::span<const TokenId> prompt);
// The example with an empty answer in the place of the one that is to be written.
Example to_be_answered(const Example& example);
// What stands before the answer, in tokens: through the card's chat template turn by turn, else the
// example's prompt.
std::vector<TokenId> encode_question(const Encoder& encoder, const Example& example);

}  // namespace alambic
