#include "alambic/text/normalizer.h"

#include <memory>
#include <utility>

#include "alambic/text/charsmap.h"
#include "alambic/text/normalizer_steps.h"
#include "alambic/text/pattern.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

constexpr size_t kMaxNormalizers = 64;
// Beyond what repeated compatibility decomposition of a real text can need.
constexpr size_t kMaxNormalizedGrowth = 64;

// The bytes that base64 text stands for.
std::string decode_base64(std::string_view text, std::string_view where) {
  const auto digit = [](char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
  };
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 3);
  uint32_t bits = 0;
  int waiting = 0;
  for (const char c : text) {
    const int value = digit(c);
    if (value < 0) fail(ErrorCode::kCorruptData, "[{}] precompiled_charsmap is no base64", where);
    bits = (bits << 6) | static_cast<uint32_t>(value);
    waiting += 6;
    if (waiting < 8) continue;
    waiting -= 8;
    bytes.push_back(static_cast<char>(bits >> waiting));
  }
  return bytes;
}

}  // namespace

Normalizer Normalizer::from_json(const Json& value, std::string_view where,
                                 const AddedTokenFinder& kept) {
  Normalizer normalizer;
  if (!value.is_null()) normalizer.add(value, where, kept);
  return normalizer;
}

void Normalizer::add(const Json& value, std::string_view where, const AddedTokenFinder& kept) {
  const auto type = require<std::string>(value, "type", where);
  if (type == "Sequence") {
    for (const Json& child : require<Json>(value, "normalizers", where)) add(child, where, kept);
    return;
  }
  if (steps_.size() >= kMaxNormalizers) {
    fail(ErrorCode::kUnsupported, "[{}] more than {} normalizers", where, kMaxNormalizers);
  }
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    const NormalForm form = type == "NFC"    ? NormalForm::kNfc
                            : type == "NFD"  ? NormalForm::kNfd
                            : type == "NFKC" ? NormalForm::kNfkc
                                             : NormalForm::kNfkd;
    steps_.push_back([form](std::string_view text) { return normalize_unicode(text, form); });
  } else if (type == "Prepend") {
    steps_.push_back(
        [prefix = require<std::string>(value, "prepend", where)](std::string_view text) {
          return text.empty() ? std::string() : prefix + std::string(text);
        });
  } else if (type == "Replace") {
    steps_.push_back([pattern = Pattern::from_json(require<Json>(value, "pattern", where), where),
                      content = require<std::string>(value, "content", where)](
                         std::string_view text) { return pattern.replace(text, content); });
  } else if (type == "Lowercase") {
    steps_.push_back([](std::string_view text) { return lowercase(text); });
  } else if (type == "Strip") {
    const bool left = optional<bool>(value, "strip_left", true, where);
    const bool right = optional<bool>(value, "strip_right", true, where);
    steps_.push_back(
        [left, right](std::string_view text) { return strip_white_space(text, left, right); });
  } else if (type == "StripAccents") {
    steps_.push_back(strip_accents);
  } else if (type == "Nmt") {
    steps_.push_back(nmt_normalize);
  } else if (type == "BertNormalizer") {
    BertNormalizerOptions bert;
    bert.clean_text = optional<bool>(value, "clean_text", true, where);
    bert.handle_chinese_chars = optional<bool>(value, "handle_chinese_chars", true, where);
    bert.lowercase = optional<bool>(value, "lowercase", true, where);
    bert.strip_accents = optional<bool>(value, "strip_accents", bert.lowercase, where);
    steps_.push_back([bert](std::string_view text) { return bert_normalize(text, bert); });
  } else if (type == "Precompiled") {
    const auto blob =
        decode_base64(optional<std::string>(value, "precompiled_charsmap", "", where), where);
    const auto map = std::make_shared<const Charsmap>(blob, where);
    // Our own key, which other readers pass over: set where the file came from SentencePiece.
    const auto match = optional<std::string>(value, "match", "grapheme", where);
    if (match == "longest") {
      steps_.push_back([map, kept](std::string_view text) {
        if (kept.empty()) return map->map_longest(text);
        std::string out;
        kept.split(text, false, {}, [&](std::string_view part, const AddedToken* piece) {
          out += piece != nullptr ? std::string(part) : map->map_longest(part);
        });
        return out;
      });
    } else {
      steps_.push_back([map](std::string_view text) { return map->map_graphemes(text); });
    }
  } else {
    fail(ErrorCode::kUnsupported,
         "[{}] normalizer \"{}\"; want NFC, NFD, NFKC, NFKD, Prepend, Replace, Lowercase, Strip, "
         "StripAccents, Nmt, BertNormalizer, Precompiled or Sequence",
         where, type);
  }
}

std::string Normalizer::normalize(std::string_view text) const {
  const size_t limit = kMaxNormalizedGrowth * (text.size() + (1 << 16));
  std::string out(text);
  for (const auto& step : steps_) {
    out = step(out);
    if (out.size() > limit) {
      fail(ErrorCode::kResourceExhausted,
           "[normalizer] text of {} bytes grows without measure; got {}, want at most {}",
           text.size(), out.size(), limit);
    }
  }
  return out;
}

}  // namespace alambic
