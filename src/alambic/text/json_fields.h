// Small questions that the readers of tokenizer files ask of JSON.
// Ownership: references into the document asked. Thread safety: stateless. Errors: kCorruptData
// naming the key.
#pragma once

#include <string_view>

#include "alambic/base/json.h"
#include "alambic/base/token.h"

namespace alambic {

// value[key], or null JSON where there is none.
const Json& json_member(const Json& value, const char* key);
const Json& json_array(const Json& value, const char* key, std::string_view where);
// A token's id: an integer from 0 to about a billion.
TokenId json_token_id(const Json& value, std::string_view token, std::string_view where);

}  // namespace alambic
