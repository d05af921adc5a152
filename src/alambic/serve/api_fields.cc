#include "alambic/serve/api_fields.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace alambic {

namespace {

// Not a number where the value is none.
double number_of(const OrderedJson& value) {
  if (is_written_number(value)) return written_value(number_text(value));
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

// 0, 0.0 and 0e0 are equal.
bool same(const OrderedJson& a, const OrderedJson& b) {
  return is_any_number(a) && is_any_number(b) ? number_of(a) == number_of(b) : a == b;
}

}  // namespace

std::string shown(const OrderedJson& value) {
  constexpr size_t kShown = 40;
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  const std::string text = dump_json(value);
  return text.size() > kShown ? fmt::format("a long {}", value.type_name()) : text;
}

std::optional<int64_t> whole_number(const OrderedJson& value) {
  constexpr double kBeyond = 9223372036854775808.0;  // 2^63
  if (value.is_number_float() || is_written_number(value)) {
    const double got = number_of(value);
    if (std::trunc(got) != got || got <= -kBeyond || got >= kBeyond) return std::nullopt;
    return static_cast<int64_t>(got);
  }
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() &&
      value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return std::nullopt;
  }
  return value.get<int64_t>();
}

const OrderedJson* Fields::find(std::string_view key) {
  known_.emplace(key);
  const auto it = object_.find(key);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

std::optional<int64_t> Fields::integer(const char* key, int64_t low, int64_t high) {
  const OrderedJson* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto got = whole_number(*value);
  if (!got || *got < low || *got > high) {
    refuse(name(key), "got {}, want an integer from {} to {}", shown(*value), low, high);
  }
  return got;
}

double Fields::number(const char* key, double fallback, double low, double high) {
  const OrderedJson* value = find(key);
  if (value == nullptr) return fallback;
  const double got = number_of(*value);
  if (!(got >= low && got <= high)) {
    refuse(name(key), "got {}, want a number from {} to {}", shown(*value), low, high);
  }
  return got;
}

bool Fields::boolean(const char* key, bool fallback) {
  const OrderedJson* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) refuse(name(key), "got {}, want true or false", shown(*value));
  return value->get<bool>();
}

std::string Fields::text(const char* key) {
  const OrderedJson* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_string()) refuse(name(key), "got {}, want a string", shown(*value));
  return value->get<std::string>();
}

void Fields::refuse_unsupported(std::initializer_list<Unsupported> list) {
  for (const Unsupported& field : list) {
    const OrderedJson* value = find(field.key);
    if (value == nullptr) continue;
    const bool nothing =
        std::any_of(field.neutral.begin(), field.neutral.end(),
                    [&](const char* neutral) { return same(*value, OrderedJson::parse(neutral)); });
    if (!nothing) refuse(name(field.key), "is not supported by this server; leave it out");
  }
}

void Fields::let_pass(std::initializer_list<const char*> keys) {
  known_.insert(keys.begin(), keys.end());
}

void Fields::refuse_unknown() const {
  constexpr size_t kShown = 60;
  for (const auto& [key, value] : object_.items()) {
    if (value.is_null() || known_.contains(key)) continue;
    refuse(name(key.size() > kShown ? key.substr(0, kShown) + "…" : key),
           "is not known to this server, and might have changed the answer; leave it out");
  }
}

}  // namespace alambic
