#include "alambic/text/decoder.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "alambic/text/pattern.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

constexpr size_t kMaxDecoders = 64;
constexpr size_t kMaxDecodedGrowth = 64;

using Tokens = std::vector<DecodedToken>;

size_t total_size(const Tokens& tokens) {
  size_t size = 0;
  for (const DecodedToken& token : tokens) size += token.text.size();
  return size;
}

void fuse(Tokens& tokens) {
  std::string text;
  for (const DecodedToken& token : tokens) text += token.text;
  tokens.assign(1, {std::move(text), false});
}

// The bytes that `text` stands for, unless some character is outside the byte-level alphabet.
std::optional<std::string> chars_to_bytes(std::string_view text) {
  std::string bytes;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    const int byte = step.valid ? char_to_byte(step.code) : -1;
    if (byte < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
    at += step.length;
  }
  return bytes;
}

void byte_level(Tokens& tokens) {
  for (DecodedToken& token : tokens) {
    if (token.verbatim) continue;
    if (auto bytes = chars_to_bytes(token.text)) token.text = std::move(*bytes);
  }
  fuse(tokens);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void byte_fallback(Tokens& tokens) {
  for (DecodedToken& token : tokens) {
    const std::string& text = token.text;
    if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') continue;
    const int high = hex_digit(text[3]), low = hex_digit(text[4]);
    if (high >= 0 && low >= 0) token.text.assign(1, static_cast<char>(high * 16 + low));
  }
}

void strip(std::string& text, const std::string& content, size_t start, size_t stop) {
  size_t begin = 0, end = text.size();
  const std::string_view view = text;
  for (; start > 0 && view.substr(begin).starts_with(content); --start) begin += content.size();
  for (; stop > 0 && view.substr(begin, end - begin).ends_with(content); --stop) {
    end -= content.size();
  }
  text = text.substr(begin, end - begin);
}

// A continuation loses its mark, any other token begins a new word.
void join_word_pieces(std::string& text, const std::string& prefix, bool follows) {
  if (!follows) return;
  if (text.starts_with(prefix)) {
    text.erase(0, prefix.size());
  } else {
    text.insert(0, 1, ' ');
  }
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// Puts punctuation back where English has it.
void close_up(std::string& text) {
  constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) replace_all(text, from, to);
}

std::string require_character(const Json& value, const char* key, std::string_view where) {
  auto text = require<std::string>(value, key, where);
  if (text.empty() || decode_utf8(text, 0).length != text.size()) {
    fail(ErrorCode::kCorruptData, "[{}] decoder key \"{}\"; got \"{}\", want one character", where,
         key, text);
  }
  return text;
}

}  // namespace

Decoder Decoder::from_json(const Json& value, std::string_view where) {
  Decoder decoder;
  if (value.is_null()) return decoder;
  decoder.joins_with_spaces_ = false;
  decoder.add(value, where);
  return decoder;
}

void Decoder::add(const Json& value, std::string_view where) {
  const auto type = require<std::string>(value, "type", where);
  if (type == "Sequence") {
    for (const Json& child : require<Json>(value, "decoders", where)) add(child, where);
    return;
  }
  if (steps_.size() >= kMaxDecoders) {
    fail(ErrorCode::kUnsupported, "[{}] more than {} decoders", where, kMaxDecoders);
  }
  if (type == "ByteLevel") {
    steps_.push_back({[](Tokens& tokens, bool) { byte_level(tokens); }, false});
    fused_ = true;
  } else if (type == "ByteFallback") {
    steps_.push_back({[](Tokens& tokens, bool) { byte_fallback(tokens); }, false});
  } else if (type == "Fuse") {
    steps_.push_back({[](Tokens& tokens, bool) { fuse(tokens); }, false});
    fused_ = true;
  } else if (type == "Metaspace") {
    const auto replacement = Pattern::literal(
        value.contains("replacement") ? require_character(value, "replacement", where) : "▁");
    const bool prefix = optional<bool>(value, "add_prefix_space", true, where);
    const bool prepended = optional<std::string>(value, "prepend_scheme",
                                                 prefix ? "always" : "never", where) != "never";
    // The prefix is dropped from the first token only, before the rest become spaces.
    if (prepended) {
      steps_.push_back({[replacement](Tokens& tokens, bool) {
                          if (tokens.empty()) return;
                          tokens[0].text = replacement.replace(tokens[0].text, "");
                        },
                        true});
    }
    steps_.push_back({[replacement](Tokens& tokens, bool) {
                        for (auto& token : tokens)
                          token.text = replacement.replace(token.text, " ");
                      },
                      false});
  } else if (type == "Replace") {
    const auto pattern = Pattern::from_json(require<Json>(value, "pattern", where), where);
    steps_.push_back(
        {[pattern, content = require<std::string>(value, "content", where)](Tokens& tokens, bool) {
           for (auto& token : tokens) token.text = pattern.replace(token.text, content);
         },
         false, true});
  } else if (type == "Strip") {
    const auto content = require_character(value, "content", where);
    const auto start = require<uint32_t>(value, "start", where);
    const auto stop = require<uint32_t>(value, "stop", where);
    steps_.push_back({[content, start, stop](Tokens& tokens, bool) {
                        for (auto& token : tokens) strip(token.text, content, start, stop);
                      },
                      fused_});
  } else if (type == "WordPiece") {
    steps_.push_back(
        {[prefix = optional<std::string>(value, "prefix", "##", where),
          cleanup = optional<bool>(value, "cleanup", true, where)](Tokens& tokens, bool middle) {
           for (size_t i = 0; i < tokens.size(); ++i) {
             join_word_pieces(tokens[i].text, prefix, i > 0 || middle);
             if (cleanup) close_up(tokens[i].text);
           }
         },
         false});
  } else if (type == "BPEDecoder") {
    const auto suffix = optional<std::string>(value, "suffix", "</w>", where);
    if (suffix.empty()) fail(ErrorCode::kCorruptData, "[{}] BPEDecoder with no suffix", where);
    steps_.push_back({[suffix = Pattern::literal(suffix)](Tokens& tokens, bool middle) {
                        for (size_t i = 0; i < tokens.size(); ++i) {
                          const bool last = i + 1 == tokens.size() && !middle;
                          tokens[i].text = suffix.replace(tokens[i].text, last ? "" : " ");
                        }
                      },
                      false});
  } else {
    fail(ErrorCode::kUnsupported,
         "[{}] decoder \"{}\"; want ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Strip, "
         "WordPiece, BPEDecoder or Sequence",
         where, type);
  }
}

std::string Decoder::decode(std::vector<DecodedToken> tokens) const {
  const size_t limit = kMaxDecodedGrowth * (total_size(tokens) + (1 << 16));
  for (const Step& step : steps_) {
    step.apply(tokens, false);
    if (step.grows && total_size(tokens) > limit) {
      fail(ErrorCode::kResourceExhausted,
           "[decoder] text grows without measure; got {} bytes, want at most {}",
           total_size(tokens), limit);
    }
  }
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (joins_with_spaces_ && i > 0) text += ' ';
    text += tokens[i].text;
  }
  return text;
}

std::string Decoder::decode_one(DecodedToken token) const {
  Tokens tokens{std::move(token)};
  for (const Step& step : steps_) {
    if (!step.edges_only) step.apply(tokens, true);
  }
  return tokens.empty() ? std::string() : std::move(tokens[0].text);
}

}  // namespace alambic
