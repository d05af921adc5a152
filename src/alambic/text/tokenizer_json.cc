// Reading and writing tokenizer.json.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/base/json.h"
#include "alambic/text/tokenizer.h"
#include "alambic/text/tokenizer_state.h"

namespace alambic {
namespace {

constexpr const char* kRoles[] = {"bos_token", "eos_token", "pad_token", "unk_token", "mask_token"};

// value[key], or null JSON where there is none.
const Json& member(const Json& value, const char* key) {
  static const Json null;
  const auto it = value.find(key);
  return it == value.end() ? null : *it;
}

const Json& require_array(const Json& value, const char* key, std::string_view where) {
  const Json& array = member(value, key);
  if (!array.is_array()) {
    fail(ErrorCode::kCorruptData, "[{}] key \"{}\"; got {}, want an array", where, key,
         array.type_name());
  }
  return array;
}

TokenId parse_id(const Json& value, std::string_view token, std::string_view where) {
  // An unsigned value beyond int64 would wrap to a negative one; both are refused.
  const int64_t id = value.is_number_integer() ? value.get<int64_t>() : -1;
  if (id < 0 || id > std::numeric_limits<TokenId>::max() / 2) {
    fail(ErrorCode::kCorruptData, "[{}] id of token \"{}\"; got {}, want a small integer", where,
         token, dump_json(value));
  }
  return static_cast<TokenId>(id);
}

std::pair<std::string, std::string> parse_merge(const Json& value, std::string_view where) {
  if (value.is_array() && value.size() == 2 && value[0].is_string() && value[1].is_string()) {
    return {value[0].get<std::string>(), value[1].get<std::string>()};
  }
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != text.npos && text.find(' ', space + 1) == text.npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  }
  fail(ErrorCode::kCorruptData, "[{}] merge; got {}, want \"left right\" or [left, right]", where,
       dump_json(value));
}

std::shared_ptr<const Bpe> parse_model(const Json& model, std::string_view where) {
  if (!model.is_object()) fail(ErrorCode::kCorruptData, "[{}] key \"model\" is missing", where);
  const auto type = optional<std::string>(model, "type", "BPE", where);
  if (type != "BPE") fail(ErrorCode::kUnsupported, "[{}] model \"{}\"; want BPE", where, type);
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!optional<std::string>(model, key, "", where).empty()) {
      fail(ErrorCode::kUnsupported, "[{}] model with {}", where, key);
    }
  }
  if (optional<double>(model, "dropout", 0, where) != 0) {
    fail(ErrorCode::kUnsupported, "[{}] model with a dropout of its own; want null", where);
  }
  BpeSettings settings;
  const auto unk = optional<std::string>(model, "unk_token", "", where);
  if (!unk.empty()) settings.unk_token = unk;
  settings.fuse_unk = optional<bool>(model, "fuse_unk", false, where);
  settings.byte_fallback = optional<bool>(model, "byte_fallback", false, where);
  settings.ignore_merges = optional<bool>(model, "ignore_merges", false, where);

  const Json& vocab = member(model, "vocab");
  if (!vocab.is_object()) {
    fail(ErrorCode::kCorruptData, "[{}] key \"model.vocab\"; got {}, want an object", where,
         vocab.type_name());
  }
  BpeVocabulary vocabulary;
  vocabulary.tokens.reserve(vocab.size());
  for (const auto& [token, id] : vocab.items()) {
    vocabulary.tokens.emplace_back(token, parse_id(id, token, where));
  }
  for (const Json& merge : require_array(model, "merges", where)) {
    vocabulary.merges.push_back(parse_merge(merge, where));
  }
  return std::make_shared<Bpe>(std::move(settings), std::move(vocabulary), where);
}

std::vector<AddedToken> parse_added(const Json& list, const Bpe& model, std::string_view where) {
  std::vector<AddedToken> tokens;
  if (list.is_null()) return tokens;
  if (!list.is_array())
    fail(ErrorCode::kCorruptData, "[{}] key \"added_tokens\" is no array", where);
  const int limit =
      2 * (model.size() + static_cast<int>(std::min<size_t>(list.size(), 1 << 20))) + (1 << 16);
  std::unordered_map<TokenId, std::string> seen;
  for (const Json& value : list) {
    AddedToken token;
    token.content = require<std::string>(value, "content", where);
    token.id = parse_id(require<Json>(value, "id", where), token.content, where);
    token.special = optional<bool>(value, "special", false, where);
    token.single_word = optional<bool>(value, "single_word", false, where);
    token.lstrip = optional<bool>(value, "lstrip", false, where);
    token.rstrip = optional<bool>(value, "rstrip", false, where);
    token.normalized = optional<bool>(value, "normalized", !token.special, where);
    const auto in_model = model.find(token.content);
    const bool taken = model.contains(token.id) && model.token(token.id) != token.content;
    const bool repeated = !seen.emplace(token.id, token.content).second;
    if (token.id >= limit || taken || repeated || (in_model && *in_model != token.id)) {
      fail(ErrorCode::kCorruptData, "[{}] added token \"{}\"; got id {}, want {}", where,
           token.content, token.id,
           in_model ? std::to_string(*in_model) : "one that no other token has");
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

struct Affixes {
  std::vector<TokenId> prefix, suffix;
};

void add_template(const Json& value, std::string_view where, Affixes& affixes) {
  std::vector<TokenId> prefix, suffix;
  const Json& special = member(value, "special_tokens");
  bool sequence_seen = false;
  for (const Json& item : require_array(value, "single", where)) {
    if (const Json& sequence = item.is_object() ? member(item, "Sequence") : Json();
        sequence.is_object()) {
      if (sequence_seen || require<std::string>(sequence, "id", where) != "A") {
        fail(ErrorCode::kUnsupported, "[{}] TemplateProcessing whose \"single\" repeats the text",
             where);
      }
      sequence_seen = true;
      continue;
    }
    const auto name = require<std::string>(require<Json>(item, "SpecialToken", where), "id", where);
    const Json& token = special.is_object() ? member(special, name.c_str()) : special;
    if (!token.is_object()) {
      fail(ErrorCode::kCorruptData, "[{}] TemplateProcessing does not define \"{}\"", where, name);
    }
    for (const Json& id : require_array(token, "ids", where)) {
      (sequence_seen ? suffix : prefix).push_back(parse_id(id, name, where));
    }
  }
  if (!sequence_seen) {
    fail(ErrorCode::kUnsupported, "[{}] TemplateProcessing whose \"single\" leaves out the text",
         where);
  }
  affixes.prefix.insert(affixes.prefix.begin(), prefix.begin(), prefix.end());
  affixes.suffix.insert(affixes.suffix.end(), suffix.begin(), suffix.end());
}

void add_post_processor(const Json& value, std::string_view where, Affixes& affixes) {
  if (value.is_null()) return;
  const auto type = require<std::string>(value, "type", where);
  if (type == "Sequence") {
    for (const Json& child : require_array(value, "processors", where)) {
      add_post_processor(child, where, affixes);
    }
  } else if (type == "TemplateProcessing") {
    add_template(value, where, affixes);
  } else if (type != "ByteLevel") {  // ByteLevel moves offsets only, which nobody here asks for
    fail(ErrorCode::kUnsupported,
         "[{}] post_processor \"{}\"; want TemplateProcessing, ByteLevel or Sequence", where, type);
  }
}

// A role is named by a string or by a description with a "content".
void read_roles(const std::string& path, std::map<std::string, std::string>& roles) {
  if (!file_exists(path)) return;
  const Json document = read_json_file(path);
  if (!document.is_object()) fail(ErrorCode::kCorruptData, "[{}] is no JSON object", path);
  for (const char* role : kRoles) {
    const Json& value = member(document, role);
    const Json& content = value.is_object() ? member(value, "content") : value;
    if (content.is_string()) roles.emplace(role, content.get<std::string>());
  }
}

// False, not an exception, where the system will not say.
bool is_directory(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

std::string quoted(const std::string& text) { return dump_json(Json(text)); }

Json to_json(const AddedToken& token) {
  return {{"id", token.id},          {"content", token.content}, {"single_word", token.single_word},
          {"lstrip", token.lstrip},  {"rstrip", token.rstrip},   {"normalized", token.normalized},
          {"special", token.special}};
}

void write_model(const Json& settings, const Bpe& model, std::string& out) {
  out += "{";
  for (const auto& [key, value] : settings.items()) {
    out += fmt::format("{}: {},\n", quoted(key), dump_json(value));
  }
  bool spaces = false, first = true;
  out += "\"vocab\": {";
  for (TokenId id = 0; id < model.size(); ++id) {
    if (!model.contains(id)) continue;
    const std::string& token = model.token(id);
    spaces = spaces || token.find(' ') != token.npos;
    out += std::exchange(first, false) ? "\n" : ",\n";
    out += fmt::format("{}: {}", quoted(token), id);
  }
  out += "},\n\"merges\": [";
  first = true;
  // Older readers know only "left right", which cannot say where a token with a space ends.
  for (const auto& [left, right] : model.merges()) {
    const std::string &a = model.token(left), &b = model.token(right);
    out += std::exchange(first, false) ? "\n" : ",\n";
    out +=
        spaces ? fmt::format("[{}, {}]", quoted(a), quoted(b)) : quoted(fmt::format("{} {}", a, b));
  }
  out += "]}";
}

}  // namespace

Tokenizer Tokenizer::from_json(std::string_view json, std::string_view where) {
  Json document = parse_json(json, where);
  if (!document.is_object()) fail(ErrorCode::kCorruptData, "[{}] is no JSON object", where);
  auto state = std::make_shared<State>();
  state->model = parse_model(member(document, "model"), where);
  state->added = parse_added(member(document, "added_tokens"), *state->model, where);
  state->normalizer = Normalizer::from_json(member(document, "normalizer"), where);
  state->pre_tokenizer = PreTokenizer::from_json(member(document, "pre_tokenizer"), where);
  state->decoder = Decoder::from_json(member(document, "decoder"), where);
  Affixes affixes;
  add_post_processor(member(document, "post_processor"), where, affixes);
  state->prefix = std::move(affixes.prefix);
  state->suffix = std::move(affixes.suffix);
  state->index();
  for (const auto* ids : {&state->prefix, &state->suffix}) {
    for (const TokenId id : *ids) {
      if (id >= state->vocab_size) {
        fail(ErrorCode::kCorruptData,
             "[{}] post_processor adds a token; got id {}, want less than {}", where, id,
             state->vocab_size);
      }
    }
  }
  document["model"].erase("vocab");
  document["model"].erase("merges");
  document.erase("added_tokens");
  // Whoever encodes a batch decides its lengths: what was stored about that is dropped.
  document["truncation"] = document["padding"] = nullptr;
  state->settings = std::move(document);
  return Tokenizer(std::move(state));
}

Tokenizer Tokenizer::load(const std::string& path) {
  if (!is_directory(path)) return from_json(read_file(path), path);
  const std::string file = path + "/tokenizer.json";
  const Tokenizer plain = from_json(read_file(file), file);
  auto state = std::make_shared<State>(*plain.state_);
  read_roles(path + "/tokenizer_config.json", state->roles);
  read_roles(path + "/special_tokens_map.json", state->roles);
  state->index();
  return Tokenizer(std::move(state));
}

std::string Tokenizer::to_json() const {
  std::string out = "{";
  for (const auto& [key, value] : state_->settings.items()) {
    if (key != "model") out += fmt::format("{}: {},\n", quoted(key), dump_json(value));
  }
  out += "\"added_tokens\": [";
  bool first = true;
  for (const AddedToken& token : state_->added) {
    out += std::exchange(first, false) ? "\n" : ",\n";
    out += dump_json(alambic::to_json(token));
  }
  out += "],\n\"model\": ";
  write_model(state_->settings.at("model"), *state_->model, out);
  out += "}\n";
  return out;
}

void Tokenizer::save(const std::string& path) const {
  if (!is_directory(path)) return write_file_atomic(path, to_json());
  OrderedJson config;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  const std::optional<TokenId> ids[] = {bos(), eos(), pad(), unk(), mask()};
  for (size_t i = 0; i < std::size(kRoles); ++i) {
    if (ids[i]) config[kRoles[i]] = token_content(*ids[i]);
  }
  config["clean_up_tokenization_spaces"] = false;
  write_file_atomic(path + "/tokenizer.json", to_json());
  write_file_atomic(path + "/tokenizer_config.json", dump_json(config, 2) + "\n");
}

}  // namespace alambic
