#include "alambic/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "alambic/text/unicode.h"

namespace alambic {
namespace {

// Where the character that ends at `end` begins.
size_t previous_character(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && end - at < 4 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

bool word_before(std::string_view text, size_t end) {
  if (end == 0) return false;
  const size_t at = previous_character(text, end);
  const Utf8Step step = decode_utf8(text, at);
  return step.valid && at + step.length == end && is_word(step.code);
}

bool word_after(std::string_view text, size_t begin) {
  if (begin >= text.size()) return false;
  const Utf8Step step = decode_utf8(text, begin);
  return step.valid && is_word(step.code);
}

size_t skip_space_left(std::string_view text, size_t end) {
  while (end > 0) {
    const size_t at = previous_character(text, end);
    const Utf8Step step = decode_utf8(text, at);
    if (!step.valid || at + step.length != end || !is_white_space(step.code)) break;
    end = at;
  }
  return end;
}

size_t skip_space_right(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    const Utf8Step step = decode_utf8(text, begin);
    if (!step.valid || !is_white_space(step.code)) break;
    begin += step.length;
  }
  return begin;
}

}  // namespace

void AddedTokenFinder::add(AddedToken token, std::string pattern) {
  if (pattern.empty()) return;
  auto& bucket = by_first_byte_[static_cast<uint8_t>(pattern[0])];
  if (bucket.empty()) first_bytes_ += pattern[0];
  begins_[static_cast<uint8_t>(pattern[0])] = true;
  const auto shorter = [&](uint32_t other) {
    return entries_[other].pattern.size() < pattern.size();
  };
  bucket.insert(std::find_if(bucket.begin(), bucket.end(), shorter),
                static_cast<uint32_t>(entries_.size()));
  finds_special_ = finds_special_ || token.special;
  entries_.push_back({std::move(token), std::move(pattern)});
}

const AddedTokenFinder::Entry* AddedTokenFinder::match(std::string_view text) const {
  for (const uint32_t index : by_first_byte_[static_cast<uint8_t>(text[0])]) {
    if (text.starts_with(entries_[index].pattern)) return &entries_[index];
  }
  return nullptr;
}

size_t AddedTokenFinder::next_candidate(std::string_view text, size_t at) const {
  // Nearly always all patterns start with "<", and memchr is fast.
  if (first_bytes_.size() == 1) return std::min(text.find(first_bytes_[0], at), text.size());
  while (at < text.size() && !begins_[static_cast<uint8_t>(text[at])]) ++at;
  return at;
}

void AddedTokenFinder::split(std::string_view text, bool special, std::span<const size_t> plain,
                             const Sink& sink) const {
  const auto holds_plain = [&](size_t begin, size_t end) {
    const auto next = std::lower_bound(plain.begin(), plain.end(), begin);
    return next != plain.end() && *next < end;
  };
  size_t done = 0;
  size_t at = entries_.empty() ? text.size() : next_candidate(text, 0);
  for (; at < text.size(); at = next_candidate(text, at)) {
    const Entry* entry = match(text.substr(at));
    if (entry == nullptr) {
      ++at;
      continue;
    }
    const AddedToken& token = entry->token;
    size_t begin = at, end = at + entry->pattern.size();
    if (token.special && holds_plain(begin, end)) {
      ++at;
      continue;
    }
    // An occurrence that is turned down still hides what overlaps it.
    at = end;
    if (token.special && !special) continue;
    if (token.single_word && (word_before(text, begin) || word_after(text, end))) continue;
    if (token.lstrip) begin = std::max(skip_space_left(text, begin), done);
    if (token.rstrip) end = skip_space_right(text, end);
    if (done < begin) sink(text.substr(done, begin - done), nullptr);
    sink(text.substr(begin, end - begin), &token);
    done = end;
  }
  if (done < text.size()) sink(text.substr(done), nullptr);
}

}  // namespace alambic
