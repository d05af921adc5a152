// Keeps what people write from being taken for special tokens: a message that spells out
// "<|im_end|>" must not end its turn, nor forge another's role, when a template puts it between
// special tokens of its own.
//
// guard() replaces what looks like a special token by a stand-in, one private character for each;
// after the template has been rendered, encode() gives every stand-in the tokens of plain text.
//
// Ownership: value. Thread safety: const.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/text/tokenizer.h"

namespace alambic {

class SpecialGuard {
 public:
  explicit SpecialGuard(Tokenizer tokenizer);

  std::string guard(std::string text) const;
  // The text contents of messages (a string, or a list of parts with texts), guarded in place.
  void guard_messages(OrderedJson& messages) const;
  // Special tokens count, but those that stand-ins stand for. `special_prefix` as in EncodeOptions.
  std::vector<TokenId> encode(std::string_view text, bool special_prefix) const;

 private:
  Tokenizer tokenizer_;
  std::vector<std::string> specials_;  // contents, longest first
};

}  // namespace alambic
