#include "alambic/text/post_processor.h"

#include <string>

#include "alambic/base/error.h"
#include "alambic/text/json_fields.h"

namespace alambic {
namespace {

void add_template(const Json& value, std::string_view where, Affixes& affixes) {
  std::vector<TokenId> prefix, suffix;
  const Json& special = json_member(value, "special_tokens");
  bool sequence_seen = false;
  for (const Json& item : json_array(value, "single", where)) {
    if (const Json& sequence = item.is_object() ? json_member(item, "Sequence") : Json();
        sequence.is_object()) {
      if (sequence_seen || require<std::string>(sequence, "id", where) != "A") {
        fail(ErrorCode::kUnsupported, "[{}] TemplateProcessing whose \"single\" repeats the text",
             where);
      }
      sequence_seen = true;
      continue;
    }
    const auto name = require<std::string>(require<Json>(item, "SpecialToken", where), "id", where);
    const Json& token = special.is_object() ? json_member(special, name.c_str()) : special;
    if (!token.is_object()) {
      fail(ErrorCode::kCorruptData, "[{}] TemplateProcessing does not define \"{}\"", where, name);
    }
    for (const Json& id : json_array(token, "ids", where)) {
      (sequence_seen ? suffix : prefix).push_back(json_token_id(id, name, where));
    }
  }
  if (!sequence_seen) {
    fail(ErrorCode::kUnsupported, "[{}] TemplateProcessing whose \"single\" leaves out the text",
         where);
  }
  affixes.prefix.insert(affixes.prefix.begin(), prefix.begin(), prefix.end());
  affixes.suffix.insert(affixes.suffix.end(), suffix.begin(), suffix.end());
}

// Inserts the id of ["content", id].
void add_named(const Json& value, const char* key, std::string_view where,
               std::vector<TokenId>& ids, std::vector<TokenId>::iterator at) {
  const Json& pair = json_array(value, key, where);
  if (pair.size() != 2 || !pair[0].is_string()) {
    fail(ErrorCode::kCorruptData, "[{}] post_processor key \"{}\"; got {}, want [token, id]", where,
         key, dump_json(pair));
  }
  ids.insert(at, json_token_id(pair[1], pair[0].get_ref<const std::string&>(), where));
}

void add_post_processor(const Json& value, std::string_view where, Affixes& affixes) {
  if (value.is_null()) return;
  const auto type = require<std::string>(value, "type", where);
  if (type == "Sequence") {
    for (const Json& child : json_array(value, "processors", where)) {
      add_post_processor(child, where, affixes);
    }
  } else if (type == "TemplateProcessing") {
    add_template(value, where, affixes);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    add_named(value, "cls", where, affixes.prefix, affixes.prefix.begin());
    add_named(value, "sep", where, affixes.suffix, affixes.suffix.end());
  } else if (type != "ByteLevel") {  // ByteLevel moves offsets only, which nobody here asks for
    fail(ErrorCode::kUnsupported,
         "[{}] post_processor \"{}\"; want TemplateProcessing, BertProcessing, "
         "RobertaProcessing, ByteLevel or Sequence",
         where, type);
  }
}

}  // namespace

Affixes parse_post_processor(const Json& value, std::string_view where) {
  Affixes affixes;
  add_post_processor(value, where, affixes);
  return affixes;
}

Json template_processing(const std::vector<TemplateToken>& prefix,
                         const std::vector<TemplateToken>& suffix) {
  if (prefix.empty() && suffix.empty()) return {};
  Json special = Json::object();
  const auto wrap = [&](Json& out, const char* text, int type) {
    const auto add = [&](const TemplateToken& token) {
      out.push_back({{"SpecialToken", {{"id", token.content}, {"type_id", type}}}});
      special[token.content] = {{"id", token.content},
                                {"ids", Json::array({token.id})},
                                {"tokens", Json::array({token.content})}};
    };
    for (const TemplateToken& token : prefix) add(token);
    out.push_back({{"Sequence", {{"id", text}, {"type_id", type}}}});
    for (const TemplateToken& token : suffix) add(token);
  };
  Json single = Json::array(), pair = Json::array();
  wrap(single, "A", 0);
  wrap(pair, "A", 0);
  wrap(pair, "B", 1);
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", special}};
}

}  // namespace alambic
