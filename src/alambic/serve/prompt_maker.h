// From the text of a request to the tokens that the model reads.
//
// A chat goes through the model's chat template. A model without one has been trained on single
// prompts in its card's template: the last user message takes the place of "{prompt}", with the
// system message, if there is one, and any earlier turns in front of it, joined by blank lines
// without role names. In both, the content of a special token in a message is text like any other:
// no message can end its turn or forge another's role. A prompt that is no chat goes into the
// card's template in the same way; where there is none, it is the client's own work, and special
// tokens in it count.
//
// Thread safety: const. Errors: ApiError 400 where nothing is left to continue from or a template
// refuses the messages.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/decode/encoding.h"
#include "alambic/models/hf_directory.h"
#include "alambic/text/chat_template.h"
#include "alambic/text/special_guard.h"
#include "alambic/text/tokenizer.h"

namespace alambic {

class PromptMaker {
 public:
  PromptMaker(Tokenizer tokenizer, ModelCard card, std::optional<ChatTemplate> chat);

  std::vector<TokenId> from_text(const std::string& text) const;
  // In the template of the model's card, where it has one; then special tokens in it are text.
  std::vector<TokenId> from_prompt(const std::string& prompt) const;
  // Tokens that from_text() puts in front of every text, such as a beginning-of-text token.
  size_t prefix_tokens(const std::string& text) const;
  // No text of more bytes can be so few tokens: what is longer need not be cut into tokens at all.
  size_t longest_text(int tokens) const { return static_cast<size_t>(tokens) * longest_token_; }
  // `messages` as ChatRequest has them.
  std::vector<TokenId> from_messages(const OrderedJson& messages,
                                     const OrderedJson& variables) const;

 private:
  Tokenizer tokenizer_;
  SpecialGuard guard_;
  Encoder encoder_;  // of the card's prompt template
  std::optional<ChatTemplate> chat_;
  size_t longest_token_ = 1;  // bytes
};

}  // namespace alambic
