// The "post_processor" of a tokenizer file: the tokens it puts around a text.
// Ownership: plain values. Thread safety: stateless. Errors: kCorruptData and kUnsupported naming
// the construct.
#pragma once

#include <string_view>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/base/token.h"

namespace alambic {

struct Affixes {
  std::vector<TokenId> prefix, suffix;
};

// Null JSON adds nothing.
Affixes parse_post_processor(const Json& value, std::string_view where);

// The TemplateProcessing that puts these tokens around a text; null JSON if there are none. A pair
// of texts is wrapped one by one.
struct TemplateToken {
  std::string content;
  TokenId id;
};
Json template_processing(const std::vector<TemplateToken>& prefix,
                         const std::vector<TemplateToken>& suffix);

}  // namespace alambic
