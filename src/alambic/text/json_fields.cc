#include "alambic/text/json_fields.h"

#include <limits>

#include "alambic/base/error.h"

namespace alambic {

const Json& json_member(const Json& value, const char* key) {
  static const Json null;
  const auto it = value.find(key);
  return it == value.end() ? null : *it;
}

const Json& json_array(const Json& value, const char* key, std::string_view where) {
  const Json& array = json_member(value, key);
  if (!array.is_array()) {
    fail(ErrorCode::kCorruptData, "[{}] key \"{}\"; got {}, want an array", where, key,
         array.type_name());
  }
  return array;
}

TokenId json_token_id(const Json& value, std::string_view token, std::string_view where) {
  // An unsigned value beyond int64 would wrap to a negative one; both are refused.
  const int64_t id = value.is_number_integer() ? value.get<int64_t>() : -1;
  if (id < 0 || id > std::numeric_limits<TokenId>::max() / 2) {
    fail(ErrorCode::kCorruptData, "[{}] id of token \"{}\"; got {}, want a small integer", where,
         token, dump_json(value));
  }
  return static_cast<TokenId>(id);
}

}  // namespace alambic
