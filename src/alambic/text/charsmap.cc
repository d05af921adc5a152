#include "alambic/text/charsmap.h"

#include <utf8proc.h>

#include <cstring>

#include "alambic/base/error.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

// Longer clusters are mapped character by character.
constexpr size_t kShortGrapheme = 6;

// The fields of a unit of the double array.
uint32_t unit_offset(uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); }
uint32_t unit_label(uint32_t unit) { return unit & ((1U << 31) | 0xFF); }
bool unit_has_leaf(uint32_t unit) { return ((unit >> 8) & 1) != 0; }
uint32_t unit_value(uint32_t unit) { return unit & ((1U << 31) - 1); }

// Where the grapheme cluster ends that begins at `at`; `text` is UTF-8.
size_t grapheme_end(std::string_view text, size_t at) {
  utf8proc_int32_t state = 0;
  Utf8Step step = decode_utf8(text, at);
  at += step.length;
  while (at < text.size()) {
    const Utf8Step next = decode_utf8(text, at);
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(step.code),
                                         static_cast<utf8proc_int32_t>(next.code), &state)) {
      break;
    }
    at += next.length;
    step = next;
  }
  return at;
}

}  // namespace

Charsmap::Charsmap(std::string_view blob, std::string_view where) {
  inert_.fill(true);
  quiet_.fill(true);
  if (blob.empty()) return;
  uint32_t size = 0;
  if (blob.size() >= sizeof size) std::memcpy(&size, blob.data(), sizeof size);
  if (blob.size() < sizeof size || size > blob.size() - sizeof size || size % 4 != 0) {
    fail(ErrorCode::kCorruptData, "[{}] character map of {} bytes says that its trie has {}", where,
         blob.size(), size);
  }
  units_.resize(size / 4);
  if (size > 0) std::memcpy(units_.data(), blob.data() + sizeof size, size);
  replacements_ = blob.substr(sizeof size + size);
  if (units_.empty()) return;
  const uint32_t root = unit_offset(units_[0]);
  for (uint32_t byte = 1; byte < 256; ++byte) {
    inert_[byte] = !leads_on(root, byte);
    if (inert_[byte] || byte >= quiet_.size()) continue;
    const uint32_t unit = units_[root ^ byte];
    const uint32_t node = root ^ byte ^ unit_offset(unit);
    quiet_[byte] = !unit_has_leaf(unit);
    for (uint32_t next = 1; next < quiet_.size() && quiet_[byte]; ++next)
      quiet_[byte] = !leads_on(node, next);
  }
}

bool Charsmap::leads_on(uint32_t node, uint32_t byte) const {
  const uint32_t child = node ^ byte;
  return child < units_.size() && unit_label(units_[child]) == byte;
}

std::string_view Charsmap::replacement_at(uint32_t offset) const {
  if (offset >= replacements_.size()) return {};
  const std::string_view rest = std::string_view(replacements_).substr(offset);
  return rest.substr(0, rest.find('\0'));
}

std::optional<Charsmap::Match> Charsmap::find(std::string_view text, bool longest) const {
  if (units_.empty()) return std::nullopt;
  std::optional<Match> found;
  uint32_t node = unit_offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || unit_label(units_[node]) != byte) break;
    const uint32_t unit = units_[node];
    node ^= unit_offset(unit);
    if (!unit_has_leaf(unit) || node >= units_.size()) continue;
    found = Match{i + 1, replacement_at(unit_value(units_[node]))};
    if (!longest) break;
  }
  return found;
}

std::string Charsmap::map_longest(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    while (at < text.size() && stays(text, at)) ++at;
    out += text.substr(begin, at - begin);
    if (at == text.size()) break;
    const bool inert = inert_[static_cast<uint8_t>(text[at])];
    const auto match = inert ? std::nullopt : find(text.substr(at), true);
    const size_t length = match ? match->length : decode_utf8(text, at).length;
    out += match ? match->replacement : text.substr(at, length);
    at += length;
  }
  return out;
}

void Charsmap::map_characters(std::string_view text, std::string& out) const {
  for (size_t at = 0; at < text.size();) {
    const std::string_view character = text.substr(at, decode_utf8(text, at).length);
    const auto match = find(character, false);
    out += match ? match->replacement : character;
    at += character.size();
  }
}

std::string Charsmap::map_graphemes(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t good = valid_utf8_prefix(text);
    for (size_t at = 0; at < good;) {
      // Before ASCII an ASCII character is a cluster of its own, except in CR LF.
      const size_t begin = at;
      while (at < good && text[at] != '\r' && stays(text.substr(0, good), at)) ++at;
      if (at > begin) {
        out += text.substr(begin, at - begin);
        continue;
      }
      const size_t end = grapheme_end(text.substr(0, good), at);
      const std::string_view cluster = text.substr(at, end - at);
      const auto match = cluster.size() < kShortGrapheme ? find(cluster, false) : std::nullopt;
      match ? static_cast<void>(out += match->replacement) : map_characters(cluster, out);
      at = end;
    }
    text.remove_prefix(good);
    if (text.empty()) break;
    const size_t bad = decode_utf8(text, 0).length;
    out += text.substr(0, bad);
    text.remove_prefix(bad);
  }
  return out;
}

}  // namespace alambic
