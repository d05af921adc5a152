// Examples as a model reads them: the one place where training, teaching, evaluation and asking
// turn text into ids.
//
// Rules. A text is rendered whole and tokenised whole, and what is learned is found by where it
// stands in the text:
// - A token that holds a byte of an answer is learned, also where it begins before the answer: at
//   the seam the model has to write just that token, and nobody else would learn those bytes.
// - Without a chat template, prompt and completion are one text in the card's prompt template, and
//   spaces and tabs before the completion belong to it, as lm-evaluation-harness has it: "a " + "b"
//   and "a" + " b" are the same tokens with the same ones learned. In a chat template such a pair
//   is two turns, and those spaces belong to neither.
// - A beginning-of-text token stands where the tokenizer's post-processor puts one in front of a
//   text, or where the chat template writes one, and never both. A text without prompt and without
//   such a token begins with the begin- or end-of-text token, so that its first token has something
//   to be predicted from.
// - Every answer ends on a token that ends generation, where the template writes one behind it, and
//   that token is learned; white space behind that is not. Where the template writes none, the last
//   answer alone is ended, by the tokenizer's own token.
// - No text of the data, a role, a tool or a variable becomes a special token.
//
// Ownership: an Encoder keeps handles and copies. Thread safety: const. Errors: those of
// ChatTemplate; kInvalidArgument for a form whose completion is not its prompt filled in, or for a
// puzzle that cannot have a solution.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "alambic/data/conversation.h"
#include "alambic/data/example.h"
#include "alambic/models/model_card.h"
#include "alambic/text/chat_template.h"
#include "alambic/text/special_guard.h"
#include "alambic/text/tokenizer.h"

namespace alambic {

struct EncodedText {
  std::vector<TokenId> tokens;
  int prompt_tokens = 0;      // before the first learned token
  std::vector<bool> learned;  // for each token from there on; empty: all are, or nothing is
  bool has_answer = true;     // something is learned
  bool template_ends = true;  // the template (or the form) ends the last answer itself
};

class Encoder {
 public:
  Encoder(const Tokenizer& tokenizer, const ModelCard& card);

  // The example with its answers: one text, but one for each answer where the card's chat template
  // rewrites old turns. Of a form the completion alone, of which the blanks are learned.
  std::vector<EncodedText> encode(const Example& example) const;
  // What a model is given to write the example's (last) answer. Spaces and tabs at its end are held
  // back: they are the answer's.
  std::vector<TokenId> question(const Example& example) const;
  // The prompt side of a single prompt. Only those spaces are held back that the card's template
  // puts at the end.
  std::vector<TokenId> prompt(const std::string& prompt) const;
  // As a prompt with another text behind it is read: the ids behind prompt(), at most where both
  // together would be read so.
  std::vector<TokenId> choice(const Example& example, const std::string& answer) const;

  const Tokenizer& tokenizer() const { return tokenizer_; }
  const ModelCard& card() const { return card_; }

 private:
  struct Text {
    std::string text;
    std::vector<size_t> plain;
  };
  void add_data(Text& text, std::string_view data) const;
  Text asked(std::string_view prompt) const;
  ChatInput chat_input(const Example& example) const;
  EncodedText encode_form(const Example& example) const;
  EncodedText encode_plain(const Example& example) const;
  EncodedText encode_rendered(const RenderedConversation& rendered) const;
  std::vector<TokenId> ids(const Text& text) const;
  bool ends(TokenId id) const;
  bool is_blank(TokenId id) const;
  std::vector<TokenId> never_empty(std::vector<TokenId> tokens) const;

  Tokenizer tokenizer_;
  ModelCard card_;
  SpecialGuard guard_;
  std::optional<ChatTemplate> chat_;
};

}  // namespace alambic
