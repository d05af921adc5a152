// From the files of a vocabulary to a Tokenizer, and back to a directory.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <unordered_set>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/base/json.h"
#include "alambic/formats/gguf.h"
#include "alambic/text/bpe.h"
#include "alambic/text/chat_template.h"
#include "alambic/text/json_fields.h"
#include "alambic/text/post_processor.h"
#include "alambic/text/tokenizer.h"
#include "alambic/text/tokenizer_parts.h"
#include "alambic/text/tokenizer_state.h"
#include "alambic/text/unigram.h"
#include "alambic/text/wordpiece.h"

namespace alambic {
namespace {

std::shared_ptr<const TokenModel> make_bpe(TokenizerParts& parts, std::string_view where) {
  const Json& model = parts.settings.at("model");
  if (optional<double>(model, "dropout", 0, where) != 0) {
    fail(ErrorCode::kUnsupported, "[{}] model with a dropout of its own; want null", where);
  }
  BpeSettings settings;
  const auto unk = optional<std::string>(model, "unk_token", "", where);
  if (!unk.empty()) settings.unk_token = unk;
  settings.fuse_unk = optional<bool>(model, "fuse_unk", false, where);
  settings.byte_fallback = optional<bool>(model, "byte_fallback", false, where);
  settings.ignore_merges = optional<bool>(model, "ignore_merges", false, where);
  settings.continuing_prefix = optional<std::string>(model, "continuing_subword_prefix", "", where);
  settings.end_suffix = optional<std::string>(model, "end_of_word_suffix", "", where);
  return std::make_shared<Bpe>(std::move(settings), std::move(parts.tokens), parts.merges, where);
}

std::shared_ptr<const TokenModel> make_unigram(TokenizerParts& parts,
                                               std::span<const TokenId> user_defined,
                                               std::string_view where) {
  const Json& model = parts.settings.at("model");
  UnigramSettings settings;
  if (const Json& unk = json_member(model, "unk_id"); !unk.is_null()) {
    settings.unk = json_token_id(unk, "unk_id", where);
  }
  settings.byte_fallback = optional<bool>(model, "byte_fallback", false, where);
  settings.single_precision = optional<std::string>(model, "precision", "", where) == "single";
  std::vector<TokenId> hidden;
  for (const AddedToken& token : parts.added) {
    if (token.special) hidden.push_back(token.id);
  }
  if (model.contains("hidden")) {
    for (const Json& id : json_array(model, "hidden", where)) {
      hidden.push_back(json_token_id(id, "hidden", where));
    }
  }
  return std::make_shared<Unigram>(settings, std::move(parts.tokens), std::move(parts.scores),
                                   hidden, user_defined, where);
}

std::shared_ptr<const TokenModel> make_word_piece(TokenizerParts& parts, std::string_view where) {
  const Json& model = parts.settings.at("model");
  WordPieceSettings settings;
  settings.unk_token = optional<std::string>(model, "unk_token", settings.unk_token, where);
  settings.continuing_prefix =
      optional<std::string>(model, "continuing_subword_prefix", settings.continuing_prefix, where);
  settings.longest_word =
      optional<uint64_t>(model, "max_input_chars_per_word", settings.longest_word, where);
  return std::make_shared<WordPiece>(std::move(settings), std::move(parts.tokens), where);
}

// Those that no description beside the model makes control tokens.
std::vector<TokenId> user_defined_pieces(const TokenizerParts& parts, std::string_view where) {
  std::vector<TokenId> ids;
  const Json& model = parts.settings.at("model");
  if (!model.is_object() || !model.contains("user_defined")) return ids;
  std::unordered_set<TokenId> special, known;
  for (const AddedToken& token : parts.added) {
    if (token.special) special.insert(token.id);
  }
  for (const NamedToken& token : parts.tokens) known.insert(token.second);
  for (const Json& value : json_array(model, "user_defined", where)) {
    const TokenId id = json_token_id(value, "user_defined", where);
    if (!known.contains(id)) {
      fail(ErrorCode::kCorruptData, "[{}] user_defined names id {}, which is no token's", where,
           id);
    }
    if (!special.contains(id)) ids.push_back(id);
  }
  return ids;
}

std::shared_ptr<const TokenModel> make_model(TokenizerParts& parts,
                                             std::span<const TokenId> user_defined,
                                             std::string_view where) {
  const auto type = optional<std::string>(parts.settings.at("model"), "type", "BPE", where);
  if (type == "BPE") return make_bpe(parts, where);
  if (type == "Unigram") return make_unigram(parts, user_defined, where);
  if (type == "WordPiece") return make_word_piece(parts, where);
  fail(ErrorCode::kUnsupported, "[{}] model \"{}\"; want BPE, Unigram or WordPiece", where, type);
}

// Every added token has an id of its own, or that of the same token in the vocabulary.
void check_added(const std::vector<AddedToken>& tokens, const Vocabulary& vocabulary,
                 std::string_view where) {
  const int count = static_cast<int>(std::min<size_t>(tokens.size(), 1 << 20));
  const int limit = 2 * (vocabulary.size() + count) + (1 << 16);
  std::unordered_map<TokenId, std::string_view> seen;
  for (const AddedToken& token : tokens) {
    const auto in_model = vocabulary.find(token.content);
    const bool same = vocabulary.contains(token.id) && vocabulary.token(token.id) == token.content;
    const bool taken = !same && (in_model || vocabulary.contains(token.id));
    const bool repeated = !seen.emplace(token.id, token.content).second;
    if (token.id >= limit || taken || repeated) {
      fail(ErrorCode::kCorruptData, "[{}] added token \"{}\"; got id {}, want {}", where,
           token.content, token.id,
           in_model ? std::to_string(*in_model) : "one that no other token has");
    }
  }
}

// False, not an exception, where the system will not say.
bool is_directory(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

// Which files of a directory hold its tokenizer. In this order: the more exact first.
constexpr const char* kTokenizerFiles[] = {"tokenizer.json", "tokenizer.model",
                                           "spiece.model",   "sentencepiece.bpe.model",
                                           "vocab.json",     "vocab.txt"};

// Adapters without a tokenizer of their own have that of their base; else the directory itself.
std::string tokenizer_home(const std::string& path) {
  for (const char* name : kTokenizerFiles) {
    if (file_exists(path + "/" + name)) return path;
  }
  const std::string adapters = path + "/adapter_config.json";
  if (!file_exists(adapters)) return path;
  auto base =
      optional<std::string>(read_json_file(adapters), "base_model_name_or_path", "", adapters);
  return file_exists(base) ? base : path;
}

TokenizerParts read_directory(const std::string& path) {
  const std::string json = path + "/tokenizer.json";
  if (file_exists(json)) return read_tokenizer_json(read_file(json), json);
  for (const char* name : {"tokenizer.model", "spiece.model", "sentencepiece.bpe.model"}) {
    const std::string model = path + "/" + name;
    if (file_exists(model)) return read_sentencepiece_directory(path, model);
  }
  if (file_exists(path + "/vocab.json")) return read_merges_directory(path);
  if (file_exists(path + "/vocab.txt")) return read_wordpiece_directory(path);
  fail(ErrorCode::kNotFound,
       "[{}] holds no tokenizer; want tokenizer.json, tokenizer.model, spiece.model, vocab.json "
       "with merges.txt, or vocab.txt",
       path);
}

bool begins_with(const std::string& path, std::string_view magic) {
  const MappedFile file(path);
  return file.bytes().size() >= magic.size() &&
         std::equal(magic.begin(), magic.end(), file.bytes().begin(),
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

}  // namespace

Tokenizer Tokenizer::from_parts(TokenizerParts&& parts, std::string_view where) {
  auto state = std::make_shared<State>();
  state->user_defined = user_defined_pieces(parts, where);
  state->model = make_model(parts, state->user_defined, where);
  check_added(parts.added, state->model->vocabulary(), where);
  state->added = std::move(parts.added);
  const Json& settings = parts.settings;
  AddedTokenFinder kept;
  for (const TokenId id : state->user_defined) {
    const std::string& piece = state->model->vocabulary().token(id);
    AddedToken token;
    token.id = id;
    token.content = piece;
    kept.add(std::move(token), piece);
  }
  state->normalizer = Normalizer::from_json(json_member(settings, "normalizer"), where, kept);
  state->pre_tokenizer = PreTokenizer::from_json(json_member(settings, "pre_tokenizer"), where);
  state->decoder = Decoder::from_json(json_member(settings, "decoder"), where);
  Affixes affixes = parse_post_processor(json_member(settings, "post_processor"), where);
  state->prefix = std::move(affixes.prefix);
  state->suffix = std::move(affixes.suffix);
  state->roles = std::move(parts.roles);
  state->chat_template = std::move(parts.chat_template);
  state->tool_use_template = std::move(parts.tool_use_template);
  state->settings = std::move(parts.settings);
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
  return Tokenizer(std::move(state));
}

Tokenizer Tokenizer::from_json(std::string_view json, std::string_view where) {
  return from_parts(read_tokenizer_json(json, where), where);
}

Tokenizer Tokenizer::from_sentencepiece(std::span<const std::byte> file, std::string_view where) {
  return from_parts(read_sentencepiece(file, where), where);
}

Tokenizer Tokenizer::from_gguf(const GgufFile& file, std::string_view where) {
  return from_parts(read_gguf_vocabulary(file, where), where);
}

Tokenizer Tokenizer::load(const std::string& given) {
  const std::string path = is_directory(given) ? tokenizer_home(given) : given;
  if (is_directory(path)) {
    TokenizerParts parts = read_directory(path);
    for (const char* file : {"/tokenizer_config.json", "/special_tokens_map.json"}) {
      const std::string named = path + file;
      if (!file_exists(named)) continue;
      const Json document = read_json_file(named);
      if (!document.is_object()) fail(ErrorCode::kCorruptData, "[{}] is no JSON object", named);
      read_special_tokens(document, parts.roles);
    }
    ChatTemplateTexts templates = read_chat_templates(path);
    parts.chat_template = std::move(templates.text);
    parts.tool_use_template = std::move(templates.tool_use);
    return from_parts(std::move(parts), path);
  }
  if (path.ends_with(".gguf") || begins_with(path, "GGUF")) return from_gguf(GgufFile(path), path);
  const std::string content = read_file(path);
  if (path.ends_with(".model")) {
    return from_sentencepiece(std::as_bytes(std::span(content)), path);
  }
  return from_json(content, path);
}

void Tokenizer::save(const std::string& path) const {
  if (!is_directory(path)) return write_file_atomic(path, to_json());
  OrderedJson config;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  for (const auto& [name, content] : named_tokens()) {
    if (name.ends_with("_token")) {
      config[name] = content;
    } else {
      config["extra_special_tokens"][name] = content;
    }
  }
  config["clean_up_tokenization_spaces"] = false;
  const std::string &text = state_->chat_template, &tool_use = state_->tool_use_template;
  if (!text.empty() && !tool_use.empty()) {
    config["chat_template"] = {{{"name", "default"}, {"template", text}},
                               {{"name", "tool_use"}, {"template", tool_use}}};
  } else if (!text.empty()) {
    config["chat_template"] = text;
  }
  write_file_atomic(path + "/tokenizer.json", to_json());
  write_file_atomic(path + "/tokenizer_config.json", dump_json(config, 2) + "\n");
}

}  // namespace alambic
