// The "decoder" of a tokenizer file: how the contents of tokens become text again.
// Where the reference implementation writes U+FFFD for bytes that are not UTF-8, this one keeps the
// bytes, so that nothing is lost. Ownership: an immutable value, cheap to copy. Thread safety:
// usable from several threads at once. Errors: kUnsupported naming the construct.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/json.h"

namespace alambic {

// A token on its way through the decoder. `verbatim`: an added token, whose content is text
// already.
struct DecodedToken {
  std::string text;
  bool verbatim = false;
};

class Decoder {
 public:
  // Null JSON joins tokens with spaces.
  static Decoder from_json(const Json& value, std::string_view where);

  std::string decode(std::vector<DecodedToken> tokens) const;
  // What one token contributes in the middle of a text.
  std::string decode_one(DecodedToken token) const;

 private:
  using Tokens = std::vector<DecodedToken>;
  struct Step {
    // `middle`: the tokens stand alone for the middle of a longer text.
    std::function<void(Tokens&, bool middle)> apply;
    bool edges_only;     // concerns only how a whole text begins or ends
    bool grows = false;  // may make tokens longer
  };
  void add(const Json& value, std::string_view where);

  std::vector<Step> steps_;
  bool joins_with_spaces_ = true;
  bool fused_ = false;  // while reading the file: everything is one string from here on
};

}  // namespace alambic
