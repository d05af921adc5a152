#include "alambic/text/normalizer.h"

#include <utility>

#include "alambic/text/pattern.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

constexpr size_t kMaxNormalizers = 64;
// Beyond what repeated compatibility decomposition of a real text can need.
constexpr size_t kMaxNormalizedGrowth = 64;

std::string strip(std::string_view text, bool left, bool right) {
  size_t begin = 0, end = text.size();
  while (left && begin < end) {
    const Utf8Step step = decode_utf8(text, begin);
    if (!step.valid || !is_white_space(step.code)) break;
    begin += step.length;
  }
  while (right && end > begin) {
    size_t at = end - 1;
    while (at > begin && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
    const Utf8Step step = decode_utf8(text, at);
    if (!step.valid || at + step.length != end || !is_white_space(step.code)) break;
    end = at;
  }
  return std::string(text.substr(begin, end - begin));
}

}  // namespace

Normalizer Normalizer::from_json(const Json& value, std::string_view where) {
  Normalizer normalizer;
  if (!value.is_null()) normalizer.add(value, where);
  return normalizer;
}

void Normalizer::add(const Json& value, std::string_view where) {
  const auto type = require<std::string>(value, "type", where);
  if (type == "Sequence") {
    for (const Json& child : require<Json>(value, "normalizers", where)) add(child, where);
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
    steps_.push_back([left, right](std::string_view text) { return strip(text, left, right); });
  } else {
    fail(ErrorCode::kUnsupported,
         "[{}] normalizer \"{}\"; want NFC, NFD, NFKC, NFKD, Prepend, Replace, Lowercase, Strip or "
         "Sequence",
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
