#include "alambic/text/special_guard.h"

#include <algorithm>
#include <functional>
#include <set>

#include "alambic/base/error.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

// The private planes, in which stand-ins are looked for.
constexpr char32_t kFirstPrivate = 0xF0000, kEndPrivate = 0x10FFFE;

char small(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

std::string in_small_letters(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), small);
  return out;
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool is_letter_or_digit(char c) {
  c = small(c);
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (static_cast<uint8_t>(c) & 0x80) != 0;
}

// Every string of `value`, keys before what they name.
void for_each_string(const OrderedJson& value, const std::function<void(const std::string&)>& f) {
  if (value.is_string()) f(value.get_ref<const std::string&>());
  if (!value.is_structured()) return;
  for (const auto& item : value.items()) {
    if (value.is_object()) f(item.key());
    for_each_string(item.value(), f);
  }
}

using Rewrite = std::function<std::string(const std::string&)>;

void rewrite_strings(OrderedJson& value, const Rewrite& rewrite) {
  if (value.is_string()) {
    value = rewrite(value.get_ref<const std::string&>());
  } else if (value.is_array()) {
    for (OrderedJson& item : value) rewrite_strings(item, rewrite);
  } else if (value.is_object()) {
    OrderedJson out = OrderedJson::object();
    for (auto& item : value.items()) {
      rewrite_strings(item.value(), rewrite);
      out[rewrite(item.key())] = std::move(item.value());
    }
    value = std::move(out);
  }
}

}  // namespace

SpecialGuard::SpecialGuard(const Tokenizer& tokenizer) {
  for (const std::string& content : tokenizer.special_contents()) {
    if (content.empty()) continue;
    const size_t solid = content.find_first_not_of(" \t\n\r");
    const std::string low = in_small_letters(content);
    by_first_byte_[static_cast<uint8_t>(low[0])].push_back(static_cast<uint32_t>(specials_.size()));
    specials_.push_back({low, solid == std::string::npos ? 0 : solid});
  }
}

std::vector<size_t> SpecialGuard::breaks(std::string_view text) const {
  std::vector<size_t> found;
  const std::string low = in_small_letters(text);
  size_t end = low.size();  // without the white space that a template may trim
  while (end > 0 && is_blank(low[end - 1])) --end;
  for (size_t at = 0; at < low.size(); ++at) {
    for (const uint32_t index : by_first_byte_[static_cast<uint8_t>(low[at])]) {
      const Special& special = specials_[index];
      const std::string_view rest = std::string_view(low).substr(at);
      const std::string_view tail = at < end ? rest.substr(0, end - at) : std::string_view();
      const bool whole = rest.starts_with(special.small);
      const bool begun = !tail.empty() && !is_letter_or_digit(low[at]) &&
                         tail.size() > special.at &&
                         std::string_view(special.small).starts_with(tail);
      if (whole || begun) found.push_back(at + special.at);
    }
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

GuardedData::GuardedData(const SpecialGuard& guard, std::span<OrderedJson* const> data) {
  std::set<char32_t> taken;
  std::set<std::string> wanted;
  for (const OrderedJson* value : data) {
    for_each_string(*value, [&](const std::string& text) {
      for (const size_t at : guard.breaks(text))
        wanted.insert(text.substr(at, decode_utf8(text, at).length));
      // Private characters of these planes begin with these bytes.
      for (size_t at = text.find_first_of("\xF3\xF4"); at != std::string::npos;
           at = text.find_first_of("\xF3\xF4", at + 1)) {
        const Utf8Step step = decode_utf8(text, at);
        if (step.valid) taken.insert(step.code);
      }
    });
  }
  if (wanted.empty()) return;
  std::map<std::string, std::string> stand_ins;
  char32_t next = kFirstPrivate;
  for (const std::string& character : wanted) {
    while (next < kEndPrivate && taken.contains(next)) ++next;
    if (next >= kEndPrivate) {
      fail(ErrorCode::kUnsupported,
           "[chat template] a conversation that holds every private character of Unicode");
    }
    append_utf8(stand_ins[character], next);
    characters_.emplace(next++, character);
  }
  const Rewrite rewrite = [&](const std::string& text) {
    std::string out;
    size_t done = 0;
    for (const size_t at : guard.breaks(text)) {
      const size_t length = decode_utf8(text, at).length;
      out.append(text, done, at - done).append(stand_ins.at(text.substr(at, length)));
      done = at + length;
    }
    return out.append(text, done);
  };
  for (OrderedJson* value : data) rewrite_strings(*value, rewrite);
}

void GuardedData::restore(std::string& text, std::span<size_t> cuts,
                          std::vector<size_t>& plain) const {
  plain.clear();
  if (characters_.empty()) return;
  std::string out;
  size_t cut = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    const auto found = step.valid ? characters_.find(step.code) : characters_.end();
    while (cut < cuts.size() && cuts[cut] < at + step.length) cuts[cut++] = out.size();
    if (found != characters_.end()) {
      plain.push_back(out.size());
      out += found->second;
    } else {
      out.append(text, at, step.length);
    }
    at += step.length;
  }
  while (cut < cuts.size()) cuts[cut++] = out.size();
  text = std::move(out);
}

}  // namespace alambic
