#include "alambic/text/gguf_vocabulary_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "alambic/base/error.h"
#include "alambic/text/gguf_pre_tokenizer.h"
#include "alambic/text/json_fields.h"
#include "alambic/text/piece_vocabulary.h"
#include "alambic/text/post_processor.h"
#include "alambic/text/tokenizer_parts.h"

namespace alambic {
namespace {

// Drops what does not change ids, and spells out defaults, so that files by different hands
// compare equal.
Json canonical(const Json& step) {
  if (!step.is_object()) return step;
  Json out = step;
  out.erase("trim_offsets");
  const auto type = step.find("type");
  if (type != step.end() && *type == "ByteLevel") {
    out["use_regex"] = step.value("use_regex", true);
    out["add_prefix_space"] = step.value("add_prefix_space", true);
  }
  for (const char* list : {"pretokenizers", "normalizers"}) {
    const auto steps = step.find(list);
    if (steps == step.end() || !steps->is_array()) continue;
    Json kept = Json::array();
    for (const Json& part : *steps) kept.push_back(canonical(part));
    if (kept.empty()) return nullptr;
    if (kept.size() == 1) return kept.front();
    out[list] = kept;
  }
  return out;
}

bool cuts_alike(const Json& a, const Json& b) {
  for (const char* key : {"normalizer", "pre_tokenizer"}) {
    if (canonical(json_member(a, key)) != canonical(json_member(b, key))) return false;
  }
  const auto ignores = [](const Json& settings) {
    return settings.at("model").value("ignore_merges", false);
  };
  return ignores(a) == ignores(b);
}

// The name of a published way of cutting text, if this is one.
std::optional<std::string_view> published_name(const Json& settings, std::string_view where) {
  for (const std::string_view name :
       {"gpt-2", "llama-bpe", "qwen2", "qwen35", "smollm", "command-r", "falcon", "bloom", "viking",
        "deepseek-coder", "deepseek-v3", "tekken", "gpt-4o", "dbrx"}) {
    if (cuts_alike(settings, gguf_byte_level_settings(name, where))) return name;
  }
  return std::nullopt;
}

bool holds_type(const Json& step, std::string_view type) {
  if (step.is_array()) {
    return std::any_of(step.begin(), step.end(),
                       [&](const Json& part) { return holds_type(part, type); });
  }
  if (!step.is_object()) return false;
  const auto own = step.find("type");
  if (own != step.end() && *own == type) return true;
  return std::any_of(step.begin(), step.end(), [&](const Json& part) {
    return part.is_structured() && holds_type(part, type);
  });
}

// A space in front of every text.
bool prepends(const Json& settings) {
  const Json& cut = json_member(settings, "pre_tokenizer");
  if (holds_type(json_member(settings, "normalizer"), "Prepend")) return true;
  return cut.is_object() && cut.value("type", "") == "Metaspace" &&
         cut.value("prepend_scheme", "always") != "never";
}

struct OutgoingTokens {
  std::vector<std::string> tokens;
  std::vector<int32_t> kinds;
};

OutgoingTokens outgoing_tokens(const TokenizerParts& parts, int rows, std::string_view where) {
  OutgoingTokens list;
  const auto size = static_cast<size_t>(rows);
  list.tokens.resize(size);
  list.kinds.assign(size, static_cast<int32_t>(PieceKind::kUnused));
  const auto put = [&](TokenId id, const std::string& text, PieceKind kind) {
    if (id >= rows) {
      fail(ErrorCode::kCorruptData, "[{}] the tokenizer has a token {}; the model has {} rows",
           where, id, rows);
    }
    list.tokens[static_cast<size_t>(id)] = text;
    list.kinds[static_cast<size_t>(id)] = static_cast<int32_t>(kind);
  };
  for (const auto& [text, id] : parts.tokens) put(id, text, PieceKind::kNormal);
  for (const AddedToken& token : parts.added) {
    put(token.id, token.content, token.special ? PieceKind::kControl : PieceKind::kUserDefined);
  }
  for (size_t id = 0; id < size; ++id) {
    if (list.kinds[id] == static_cast<int32_t>(PieceKind::kUnused))
      list.tokens[id] = fmt::format("[PAD{}]", id);
  }
  return list;
}

void write_byte_level(const TokenizerParts& parts, std::string_view name, OutgoingTokens list,
                      GgufMetadata& metadata) {
  metadata.put("tokenizer.ggml.model", "gpt2");
  metadata.put("tokenizer.ggml.pre", name);
  metadata.put("tokenizer.ggml.tokens", std::span<const std::string>(list.tokens));
  metadata.put("tokenizer.ggml.token_type", std::span<const int32_t>(list.kinds));
  std::vector<std::string> merges;
  merges.reserve(parts.merges.size());
  for (const auto& [left, right] : parts.merges)
    merges.push_back(fmt::format("{} {}", left, right));
  metadata.put("tokenizer.ggml.merges", std::span<const std::string>(merges));
}

// What a merge makes scores by its rank; characters, which nothing makes, by none.
void write_pieces(const Tokenizer& tokenizer, const TokenizerParts& parts, OutgoingTokens list,
                  GgufMetadata& metadata) {
  std::unordered_map<std::string, size_t> ranks;
  ranks.reserve(parts.merges.size());
  for (size_t i = 0; i < parts.merges.size(); ++i)
    ranks.emplace(parts.merges[i].first + parts.merges[i].second, i);
  const auto unk = tokenizer.unk();
  std::vector<float> scores;
  scores.reserve(list.tokens.size());
  for (size_t id = 0; id < list.tokens.size(); ++id) {
    const std::string& text = list.tokens[id];
    const auto rank = ranks.find(text);
    scores.push_back(rank == ranks.end() ? 0.0F : -1.0F - static_cast<float>(rank->second));
    const bool byte = text.size() == 6 && text.starts_with("<0x") && text.back() == '>';
    if (unk && static_cast<size_t>(*unk) == id) {
      list.kinds[id] = static_cast<int32_t>(PieceKind::kUnknown);
    } else if (byte && list.kinds[id] == static_cast<int32_t>(PieceKind::kNormal)) {
      list.kinds[id] = static_cast<int32_t>(PieceKind::kByte);
    }
  }
  metadata.put("tokenizer.ggml.model", "llama");
  metadata.put("tokenizer.ggml.pre", "default");
  metadata.put("tokenizer.ggml.add_space_prefix", prepends(parts.settings));
  metadata.put("tokenizer.ggml.tokens", std::span<const std::string>(list.tokens));
  metadata.put("tokenizer.ggml.scores", std::span<const float>(scores));
  metadata.put("tokenizer.ggml.token_type", std::span<const int32_t>(list.kinds));
}

// The one token on a side of every text, if there is one.
std::optional<TokenId> single(const std::vector<TokenId>& affix, std::string_view where) {
  if (affix.size() > 1) {
    fail(ErrorCode::kUnsupported, "[{}] a tokenizer that puts {} tokens on one side of a text",
         where, affix.size());
  }
  return affix.empty() ? std::nullopt : std::optional(affix.front());
}

// The usual one first, each once.
std::vector<TokenId> end_tokens(std::optional<TokenId> usual, const std::vector<TokenId>& others) {
  std::vector<TokenId> ends;
  if (usual) ends.push_back(*usual);
  for (const TokenId id : others) {
    if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  }
  return ends;
}

}  // namespace

void write_gguf_vocabulary(const Tokenizer& tokenizer, const GgufVocabularyOptions& options,
                           std::string_view where, GgufMetadata& metadata) {
  const TokenizerParts parts = read_tokenizer_json(tokenizer.to_json(), where);
  const Json& settings = parts.settings;
  const auto type = settings.at("model").value("type", "BPE");
  const bool bytes = holds_type(json_member(settings, "pre_tokenizer"), "ByteLevel");
  const auto name = bytes ? published_name(settings, where) : std::nullopt;
  if (type != "BPE" || (bytes && !name)) {
    fail(ErrorCode::kUnsupported, "[{}] GGUF has no name for this tokenizer: {}", where,
         type != "BPE" ? "model " + type : "pre_tokenizer " + dump_json(settings["pre_tokenizer"]));
  }
  OutgoingTokens list = outgoing_tokens(parts, options.rows, where);
  if (name) {
    write_byte_level(parts, *name, std::move(list), metadata);
  } else {
    write_pieces(tokenizer, parts, std::move(list), metadata);
  }
  const Affixes affixes = parse_post_processor(json_member(settings, "post_processor"), where);
  const auto first = single(affixes.prefix, where), last = single(affixes.suffix, where);
  const auto put = [&](const char* role, std::optional<TokenId> id) {
    if (id)
      metadata.put(fmt::format("tokenizer.ggml.{}_token_id", role), static_cast<uint32_t>(*id));
  };
  put("bos", first ? first : tokenizer.bos());
  constexpr std::array<const char*, 3> kEnds = {"eos", "eot", "eom"};
  const std::vector<TokenId> ends = end_tokens(last ? last : tokenizer.eos(), options.ends);
  if (ends.size() > kEnds.size()) {
    fail(ErrorCode::kUnsupported, "[{}] GGUF names at most {} end tokens; got {}", where,
         kEnds.size(), ends.size());
  }
  for (size_t i = 0; i < ends.size(); ++i) put(kEnds[i], ends[i]);
  put("padding", tokenizer.pad());
  put("unknown", tokenizer.unk());
  put("mask", tokenizer.mask());
  metadata.put("tokenizer.ggml.add_bos_token", first.has_value());
  metadata.put("tokenizer.ggml.add_eos_token", last.has_value());
  if (!options.chat_template.empty())
    metadata.put("tokenizer.chat_template", std::string_view(options.chat_template));
  if (!options.tool_use_template.empty())
    metadata.put("tokenizer.chat_template.tool_use", std::string_view(options.tool_use_template));
}

}  // namespace alambic
