// Directories of plain vocabulary files from before tokenizer.json: GPT-2's vocab.json and
// merges.txt, BERT's vocab.txt, SentencePiece models; tokenizer_config.json says the rest.
#include <algorithm>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/text/json_fields.h"
#include "alambic/text/published_patterns.h"
#include "alambic/text/tokenizer_parts.h"

namespace alambic {
namespace {

Json read_config(const std::string& directory) {
  const std::string path = directory + "/tokenizer_config.json";
  Json config = file_exists(path) ? read_json_file(path) : Json::object();
  if (!config.is_object()) fail(ErrorCode::kCorruptData, "[{}] is no JSON object", path);
  return config;
}

// "LlamaTokenizerFast" -> "Llama".
std::string family(const Json& config, const std::string& directory) {
  auto name = optional<std::string>(config, "tokenizer_class", "", directory);
  return name.substr(0, name.find("Tokenizer"));
}

std::optional<TokenId> find_token(const TokenizerParts& parts, std::string_view content) {
  for (const AddedToken& token : parts.added) {
    if (token.content == content) return token.id;
  }
  for (const auto& [token, id] : parts.tokens) {
    if (token == content) return id;
  }
  return std::nullopt;
}

// The tokens beyond the vocabulary: added_tokens.json has {"content": id}, tokenizer_config.json
// {"id": {description}}.
void read_added(const std::string& directory, const Json& config, TokenizerParts& parts) {
  std::map<TokenId, AddedToken> tokens;
  for (AddedToken& token : parts.added) tokens.emplace(token.id, std::move(token));
  const std::string path = directory + "/added_tokens.json";
  const Json list = file_exists(path) ? parse_unique_json(read_file(path), path) : Json::object();
  for (const auto& [content, id] : list.items()) {
    AddedToken token;
    token.id = json_token_id(id, content, path);
    token.content = content;
    tokens.insert_or_assign(token.id, std::move(token));
  }
  const Json described = config.value("added_tokens_decoder", Json::object());
  for (const auto& [id, value] : described.items()) {
    AddedToken token;
    token.content = require<std::string>(value, "content", directory);
    if (id.empty() || id.size() > 9 || id.find_first_not_of("0123456789") != id.npos) {
      fail(ErrorCode::kCorruptData, "[{}] id of added token \"{}\"; got \"{}\", want an integer",
           directory, token.content, id);
    }
    token.id = std::stoi(id);
    token.special = optional<bool>(value, "special", false, directory);
    token.single_word = optional<bool>(value, "single_word", false, directory);
    token.lstrip = optional<bool>(value, "lstrip", false, directory);
    token.rstrip = optional<bool>(value, "rstrip", false, directory);
    token.normalized = optional<bool>(value, "normalized", !token.special, directory);
    tokens.insert_or_assign(token.id, std::move(token));
  }
  parts.added.clear();
  for (auto& [id, token] : tokens) parts.added.push_back(std::move(token));
}

// The contents of tokenizer_config.json's "bos_token" and the like.
std::string role_content(const Json& config, const char* role, const char* customary) {
  const Json& value = json_member(config, role);
  const Json& content = value.is_object() ? json_member(value, "content") : value;
  return content.is_string() ? content.get<std::string>() : customary;
}

// Control tokens that no file describes as added are so by custom.
void mark_special(TokenizerParts& parts, std::initializer_list<std::string> contents) {
  for (const std::string& content : contents) {
    const auto listed = std::any_of(parts.added.begin(), parts.added.end(),
                                    [&](const AddedToken& t) { return t.content == content; });
    const auto id = find_token(parts, content);
    if (listed || !id) continue;
    AddedToken token;
    token.id = *id;
    token.content = content;
    token.normalized = false;
    token.special = true;
    parts.added.push_back(std::move(token));
  }
}

void wrap(TokenizerParts& parts, const std::string& first, const std::string& last) {
  const auto ids = [&](const std::string& content) {
    const auto id = find_token(parts, content);
    return id ? std::vector{*id} : std::vector<TokenId>{};
  };
  set_affixes(parts, ids(first), ids(last));
}

}  // namespace

TokenizerParts read_merges_directory(const std::string& directory) {
  const std::string vocab_path = directory + "/vocab.json", merges_path = directory + "/merges.txt";
  const Json vocab = parse_unique_json(read_file(vocab_path), vocab_path);
  if (!vocab.is_object()) fail(ErrorCode::kCorruptData, "[{}] is no JSON object", vocab_path);
  const Json config = read_config(directory);
  const std::string kind = family(config, directory);
  const bool qwen = kind == "Qwen2";
  if (!kind.empty() && !qwen && kind != "GPT2" && kind != "Roberta" && kind != "CodeGen" &&
      kind != "GPTNeoX" && kind != "PreTrained") {
    fail(ErrorCode::kUnsupported,
         "[{}] vocab.json of a {}Tokenizer; want GPT2, Roberta, CodeGen, GPTNeoX or Qwen2, or a "
         "tokenizer.json",
         directory, kind);
  }
  TokenizerParts parts;
  Json cutter = qwen ? split_then_byte_level({kQwen2Expression}) : gpt2_pre_tokenizer();
  if (!qwen) {
    cutter["add_prefix_space"] = optional<bool>(config, "add_prefix_space", false, directory);
  }
  parts.settings =
      byte_level_settings(qwen ? Json{{"type", "NFC"}} : Json(), std::move(cutter), false);
  parts.tokens.reserve(vocab.size());
  for (const auto& [token, id] : vocab.items()) {
    parts.tokens.emplace_back(token, json_token_id(id, token, vocab_path));
  }
  const std::string merges = read_file(merges_path);
  const auto lines = split_lines(merges);
  parts.merges.reserve(lines.size());
  for (const std::string_view line : lines) {
    if (line.empty() || is_version_line(line)) continue;
    parts.merges.push_back(split_merge(line, merges_path));
  }
  read_added(directory, config, parts);
  if (kind == "Roberta") {
    mark_special(parts, {"<s>", "<pad>", "</s>", "<unk>", "<mask>"});
    wrap(parts, "<s>", "</s>");
  } else {
    mark_special(parts, {"<|endoftext|>"});
  }
  return parts;
}

TokenizerParts read_wordpiece_directory(const std::string& directory) {
  const std::string path = directory + "/vocab.txt";
  const Json config = read_config(directory);
  const bool lowercase = optional<bool>(config, "do_lower_case", true, directory);
  const Json& accents = json_member(config, "strip_accents");
  const std::string unk = role_content(config, "unk_token", "[UNK]");
  const std::string first = role_content(config, "cls_token", "[CLS]");
  const std::string last = role_content(config, "sep_token", "[SEP]");
  TokenizerParts parts;
  parts.settings =
      bert_settings(lowercase, accents.is_boolean() ? accents : Json(),
                    optional<bool>(config, "tokenize_chinese_chars", true, directory), unk);
  const std::string text = read_file(path);
  const auto lines = split_lines(text);
  parts.tokens.reserve(lines.size());
  for (const std::string_view line : lines) {
    parts.tokens.emplace_back(line, static_cast<TokenId>(parts.tokens.size()));
  }
  read_added(directory, config, parts);
  mark_special(parts, {unk, first, last, role_content(config, "pad_token", "[PAD]"),
                       role_content(config, "mask_token", "[MASK]")});
  wrap(parts, first, last);
  return parts;
}

TokenizerParts read_sentencepiece_directory(const std::string& directory,
                                            const std::string& model) {
  const Json config = read_config(directory);
  const std::string kind = family(config, directory);
  // These renumber the pieces in code that no file records.
  for (const char* renumbered : {"XLMRoberta", "Camembert", "MBart", "MBart50", "Barthez", "NLLB",
                                 "Nllb", "Deberta", "BigBird", "Pegasus"}) {
    if (kind == renumbered) {
      fail(ErrorCode::kUnsupported,
           "[{}] ids of a {}Tokenizer are not those of {}; want "
           "a tokenizer.json",
           directory, kind, model);
    }
  }
  const std::string content = read_file(model);
  TokenizerParts parts = read_sentencepiece(std::as_bytes(std::span(content)), model);
  read_added(directory, config, parts);
  const bool bos =
      optional<bool>(config, "add_bos_token", kind == "Llama" || kind == "Gemma", directory);
  const bool eos = optional<bool>(config, "add_eos_token", kind == "T5", directory);
  wrap(parts, bos ? role_content(config, "bos_token", "<s>") : "",
       eos ? role_content(config, "eos_token", "</s>") : "");
  return parts;
}

}  // namespace alambic
