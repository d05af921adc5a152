// Reading and writing tokenizer.json.
#include <fmt/format.h>

#include <utility>

#include "alambic/base/error.h"
#include "alambic/base/json.h"
#include "alambic/text/json_fields.h"
#include "alambic/text/tokenizer.h"
#include "alambic/text/tokenizer_parts.h"
#include "alambic/text/tokenizer_state.h"

namespace alambic {
namespace {

NamedMerge parse_merge(const Json& value, std::string_view where) {
  if (value.is_array() && value.size() == 2 && value[0].is_string() && value[1].is_string()) {
    return {value[0].get<std::string>(), value[1].get<std::string>()};
  }
  if (value.is_string()) return split_merge(value.get_ref<const std::string&>(), where);
  fail(ErrorCode::kCorruptData, "[{}] merge; got {}, want \"left right\" or [left, right]", where,
       dump_json(value));
}

// {"token": id}.
void read_named_tokens(const Json& model, TokenizerParts& parts, std::string_view where) {
  const Json& vocab = json_member(model, "vocab");
  if (!vocab.is_object()) {
    fail(ErrorCode::kCorruptData, "[{}] key \"model.vocab\"; got {}, want an object", where,
         vocab.type_name());
  }
  parts.tokens.reserve(vocab.size());
  for (const auto& [token, id] : vocab.items()) {
    parts.tokens.emplace_back(token, json_token_id(id, token, where));
  }
}

// [["token", score]], numbered as they stand.
void read_scored_tokens(const Json& model, TokenizerParts& parts, std::string_view where) {
  const Json& vocab = json_array(model, "vocab", where);
  parts.tokens.reserve(vocab.size());
  parts.scores.reserve(vocab.size());
  for (const Json& item : vocab) {
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_number()) {
      fail(ErrorCode::kCorruptData, "[{}] entry of the vocabulary; got {}, want [token, score]",
           where, dump_json(item).substr(0, 80));
    }
    parts.tokens.emplace_back(item[0].get<std::string>(),
                              static_cast<TokenId>(parts.tokens.size()));
    parts.scores.push_back(item[1].get<double>());
  }
}

void read_model(const Json& model, TokenizerParts& parts, std::string_view where) {
  if (!model.is_object()) fail(ErrorCode::kCorruptData, "[{}] key \"model\" is missing", where);
  const auto type = optional<std::string>(model, "type", "BPE", where);
  if (type == "Unigram") {
    read_scored_tokens(model, parts, where);
  } else {
    read_named_tokens(model, parts, where);
  }
  if (type != "BPE") return;
  const Json& merges = json_array(model, "merges", where);
  parts.merges.reserve(merges.size());
  for (const Json& merge : merges) {
    const bool version = merge.is_string() && is_version_line(merge.get_ref<const std::string&>());
    if (!version) parts.merges.push_back(parse_merge(merge, where));
  }
}

std::vector<AddedToken> read_added(const Json& list, std::string_view where) {
  std::vector<AddedToken> tokens;
  if (list.is_null()) return tokens;
  if (!list.is_array()) {
    fail(ErrorCode::kCorruptData, "[{}] key \"added_tokens\" is no array", where);
  }
  tokens.reserve(list.size());
  for (const Json& value : list) {
    AddedToken token;
    token.content = require<std::string>(value, "content", where);
    token.id = json_token_id(require<Json>(value, "id", where), token.content, where);
    token.special = optional<bool>(value, "special", false, where);
    token.single_word = optional<bool>(value, "single_word", false, where);
    token.lstrip = optional<bool>(value, "lstrip", false, where);
    token.rstrip = optional<bool>(value, "rstrip", false, where);
    token.normalized = optional<bool>(value, "normalized", !token.special, where);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

Json to_json(const AddedToken& token) {
  return {{"id", token.id},          {"content", token.content}, {"single_word", token.single_word},
          {"lstrip", token.lstrip},  {"rstrip", token.rstrip},   {"normalized", token.normalized},
          {"special", token.special}};
}

}  // namespace

NamedMerge split_merge(std::string_view text, std::string_view where) {
  const size_t space = text.find(' ');
  if (space == text.npos || text.find(' ', space + 1) != text.npos) {
    fail(ErrorCode::kCorruptData, "[{}] merge; got {}, want \"left right\"", where,
         dump_json(Json(text.substr(0, 80))));
  }
  return {std::string(text.substr(0, space)), std::string(text.substr(space + 1))};
}

TokenizerParts read_tokenizer_json(std::string_view json, std::string_view where) {
  Json document = parse_unique_json(json, where);
  if (!document.is_object()) fail(ErrorCode::kCorruptData, "[{}] is no JSON object", where);
  TokenizerParts parts;
  read_model(json_member(document, "model"), parts, where);
  parts.added = read_added(json_member(document, "added_tokens"), where);
  document["model"].erase("vocab");
  document["model"].erase("merges");
  document.erase("added_tokens");
  // Whoever encodes a batch decides its lengths: what was stored about that is dropped.
  document["truncation"] = document["padding"] = nullptr;
  parts.settings = std::move(document);
  return parts;
}

std::string Tokenizer::to_json() const {
  const auto members = [](const Json& object, std::string& out) {
    for (const auto& [key, value] : object.items()) {
      if (key != "model") out += fmt::format("{}: {},\n", dump_json(Json(key)), dump_json(value));
    }
  };
  std::string out = "{";
  members(state_->settings, out);
  out += "\"added_tokens\": [";
  bool first = true;
  for (const AddedToken& token : state_->added) {
    out += std::exchange(first, false) ? "\n" : ",\n";
    out += dump_json(alambic::to_json(token));
  }
  out += "],\n\"model\": {";
  members(state_->settings.at("model"), out);
  state_->model->write_json(out);
  out += "}}\n";
  return out;
}

}  // namespace alambic
