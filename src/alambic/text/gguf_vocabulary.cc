// The vocabulary in a GGUF file: the tokenizer.ggml.* keys that llama.cpp writes and reads.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "Tokenizer".
#include <algorithm>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/formats/gguf.h"
#include "alambic/text/gguf_pre_tokenizer.h"
#include "alambic/text/piece_vocabulary.h"
#include "alambic/text/tokenizer_parts.h"

namespace alambic {
namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";

struct Listing {
  std::vector<std::string_view> tokens;
  std::vector<PieceKind> kinds;  // one for each token
};

Listing read_listing(const GgufFile& file, std::string_view where) {
  Listing listing;
  listing.tokens = file.require_array<std::string_view>(kTokens);
  listing.kinds.assign(listing.tokens.size(), PieceKind::kNormal);
  if (file.find("tokenizer.ggml.token_type") == nullptr) return listing;
  const auto kinds = file.require_array<int32_t>("tokenizer.ggml.token_type");
  if (kinds.size() != listing.tokens.size()) {
    fail(ErrorCode::kCorruptData, "[{}] number of token types; got {}, want {}", where,
         kinds.size(), listing.tokens.size());
  }
  for (size_t id = 0; id < kinds.size(); ++id) {
    listing.kinds[id] =
        piece_kind(static_cast<uint64_t>(std::max(kinds[id], 0)), listing.tokens[id], where);
  }
  return listing;
}

// The id that a key names, if it names one of the vocabulary.
std::optional<TokenId> named_id(const GgufFile& file, const std::string& name, size_t size) {
  const std::string key = "tokenizer.ggml." + name + "_token_id";
  if (file.find(key) == nullptr) return std::nullopt;
  const auto id = file.require<int64_t>(key);
  // Writers have put -1 and 2^32 - 1 for "none".
  if (id < 0 || static_cast<uint64_t>(id) >= size) return std::nullopt;
  return static_cast<TokenId>(id);
}

void add_special(const Listing& listing, TokenizerParts& parts) {
  for (size_t id = 0; id < listing.tokens.size(); ++id) {
    const PieceKind kind = listing.kinds[id];
    const bool special = kind == PieceKind::kControl || kind == PieceKind::kUnknown;
    if (!special && kind != PieceKind::kUserDefined) continue;
    AddedToken token;
    token.id = static_cast<TokenId>(id);
    token.content = listing.tokens[id];
    token.normalized = false;
    token.special = special;
    parts.added.push_back(std::move(token));
  }
}

TokenizerParts read_byte_level(const GgufFile& file, std::string_view where) {
  const Listing listing = read_listing(file, where);
  TokenizerParts parts;
  parts.settings = gguf_byte_level_settings(
      file.optional<std::string_view>("tokenizer.ggml.pre", "gpt-2"), where);
  parts.tokens.reserve(listing.tokens.size());
  for (const std::string_view token : listing.tokens) {
    parts.tokens.emplace_back(token, static_cast<TokenId>(parts.tokens.size()));
  }
  const auto merges = file.require_array<std::string_view>("tokenizer.ggml.merges");
  parts.merges.reserve(merges.size());
  for (const std::string_view merge : merges) parts.merges.push_back(split_merge(merge, where));
  add_special(listing, parts);
  return parts;
}

std::string with_marks(const std::string& text) {
  std::string marked;
  for (const char c : text) c == ' ' ? marked += "▁" : marked += c;
  return marked;
}

TokenizerParts read_pieces(const GgufFile& file, bool unigram, std::string_view where) {
  const Listing listing = read_listing(file, where);
  const auto scores = file.require_array<float>("tokenizer.ggml.scores");
  if (scores.size() != listing.tokens.size()) {
    fail(ErrorCode::kCorruptData, "[{}] number of scores; got {}, want {}", where, scores.size(),
         listing.tokens.size());
  }
  PieceVocabulary vocabulary;
  vocabulary.unigram = unigram;
  vocabulary.dummy_prefix = file.optional<bool>("tokenizer.ggml.add_space_prefix", true);
  vocabulary.remove_extra_whitespaces =
      file.optional<bool>("tokenizer.ggml.remove_extra_whitespaces", false);
  if (file.find("tokenizer.ggml.precompiled_charsmap") != nullptr) {
    for (const int32_t byte : file.require_array<int32_t>("tokenizer.ggml.precompiled_charsmap")) {
      vocabulary.charsmap += static_cast<char>(byte);
    }
  }
  vocabulary.pieces.reserve(listing.tokens.size());
  const std::unordered_set<std::string_view> texts(listing.tokens.begin(), listing.tokens.end());
  for (size_t id = 0; id < listing.tokens.size(); ++id) {
    std::string text(listing.tokens[id]);
    if (listing.kinds[id] == PieceKind::kUserDefined) {
      // The converter writes their spaces as spaces.
      std::string marked = with_marks(text);
      if (!texts.contains(marked)) text = std::move(marked);
    }
    vocabulary.pieces.push_back({std::move(text), scores[id], listing.kinds[id]});
    vocabulary.byte_fallback = vocabulary.byte_fallback || listing.kinds[id] == PieceKind::kByte;
  }
  return parts_of_pieces(std::move(vocabulary), where);
}

// Beginnings of words are marked in the file, and continuations in BERT's own list.
std::string word_piece(std::string_view token) {
  constexpr std::string_view kMark = "▁";
  if (token.starts_with('[') && token.ends_with(']')) return std::string(token);
  return token.starts_with(kMark) ? std::string(token.substr(kMark.size()))
                                  : "##" + std::string(token);
}

TokenizerParts read_word_pieces(const GgufFile& file, std::string_view where) {
  const Listing listing = read_listing(file, where);
  const auto unk = named_id(file, "unknown", listing.tokens.size());
  if (!unk) fail(ErrorCode::kCorruptData, "[{}] names no unknown token", where);
  TokenizerParts parts;
  bool capitals = false;
  for (const std::string_view token : listing.tokens) {
    const std::string piece = word_piece(token);
    capitals = capitals || (piece[0] != '[' && std::any_of(piece.begin(), piece.end(), [](char c) {
                              return c >= 'A' && c <= 'Z';
                            }));
    parts.tokens.emplace_back(piece, static_cast<TokenId>(parts.tokens.size()));
  }
  // The file does not say it, but a list without capitals is of no use to cased text.
  parts.settings =
      bert_settings(!capitals, nullptr, true, parts.tokens[static_cast<size_t>(*unk)].first);
  Listing plain = listing;
  for (std::string_view& token : plain.tokens) {
    if (token.starts_with("▁")) token.remove_prefix(std::string_view("▁").size());
  }
  add_special(plain, parts);
  return parts;
}

void read_affixes(const GgufFile& file, std::string_view model, TokenizerParts& parts) {
  const size_t size = parts.tokens.size();
  const bool bert = model == "bert";
  const auto first = bert ? named_id(file, "cls", size) : std::nullopt;
  auto last = bert ? named_id(file, "separator", size) : std::nullopt;
  // The misspelling is the specification's.
  if (bert && !last) last = named_id(file, "seperator", size);
  const auto bos = first ? first : named_id(file, "bos", size);
  const auto eos = last ? last : named_id(file, "eos", size);
  const bool add_bos =
      file.optional<bool>("tokenizer.ggml.add_bos_token", model == "llama" || bert);
  const bool add_eos = file.optional<bool>("tokenizer.ggml.add_eos_token", model == "t5" || bert);
  set_affixes(parts, add_bos && bos ? std::vector{*bos} : std::vector<TokenId>{},
              add_eos && eos ? std::vector{*eos} : std::vector<TokenId>{});
}

}  // namespace

TokenizerParts read_gguf_vocabulary(const GgufFile& file, std::string_view where) {
  const auto model = file.require<std::string_view>("tokenizer.ggml.model");
  TokenizerParts parts;
  if (model == "gpt2") {
    parts = read_byte_level(file, where);
  } else if (model == "llama" || model == "t5") {
    parts = read_pieces(file, model == "t5", where);
  } else if (model == "bert") {
    parts = read_word_pieces(file, where);
  } else {
    fail(ErrorCode::kUnsupported, "[{}] tokenizer.ggml.model {}; want gpt2, llama, bert or t5",
         where, dump_json(Json(model.substr(0, 80))));
  }
  read_affixes(file, model, parts);
  constexpr std::pair<const char*, const char*> kRoles[] = {
      {"bos_token", "bos"},       {"eos_token", "eos"},      {"pad_token", "padding"},
      {"unk_token", "unknown"},   {"mask_token", "mask"},    {"cls_token", "cls"},
      {"sep_token", "separator"}, {"sep_token", "seperator"}};
  for (const auto& [role, name] : kRoles) {
    if (const auto id = named_id(file, name, parts.tokens.size())) {
      parts.roles[role] = parts.tokens[static_cast<size_t>(*id)].first;
    }
  }
  parts.chat_template = file.optional<std::string_view>("tokenizer.chat_template", "");
  parts.tool_use_template = file.optional<std::string_view>("tokenizer.chat_template.tool_use", "");
  return parts;
}

}  // namespace alambic
