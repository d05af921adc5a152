#include "alambic/data/signal.h"

#include <array>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "alambic/base/error.h"

namespace alambic {
namespace {

constexpr std::array<std::string_view, 3> kKindNames = {"text", "draws", "topk"};
constexpr std::array<std::string_view, kAnswerKinds> kAnswerNames = {
    "good",     "empty",   "cut",       "circles",     "filtered",  "tool_calls", "reasoning",
    "too_long", "refused", "not_valid", "no_template", "no_prompt", "outside"};
constexpr int kMaxDraws = 1 << 16;
constexpr int kMaxVocabulary = 1 << 28;

// JSON integers that fit T; nlohmann alone would convert 1e99 or 2.5 without a word.
template <class T>
T require_integer(const Json& value, std::string_view what, std::string_view where) {
  bool fits = false;
  if (value.is_number_unsigned()) {
    fits = value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<T>::max());
  } else if (std::is_signed_v<T> && value.is_number_integer()) {
    fits = value.get<int64_t>() >= static_cast<int64_t>(std::numeric_limits<T>::lowest());
  }
  if (!fits) {
    fail(ErrorCode::kCorruptData, "[{}] \"{}\" is {}; want an integer", where, what,
         dump_json(value).substr(0, 40));
  }
  return value.get<T>();
}

const Json& member(const Json& value, const char* key, std::string_view where) {
  if (!value.is_object() || !value.contains(key)) {
    fail(ErrorCode::kCorruptData, "[{}] key \"{}\" is missing", where, key);
  }
  return value.at(key);
}

const Json& list(const Json& value, const char* key, std::string_view where) {
  const Json& items = member(value, key, where);
  if (!items.is_array()) {
    fail(ErrorCode::kCorruptData, "[{}] \"{}\" is a {}; want a list", where, key,
         items.type_name());
  }
  return items;
}

template <class T>
T integer(const Json& value, const char* key, std::string_view where) {
  return require_integer<T>(member(value, key, where), key, where);
}

std::vector<TokenId> token_list(const Json& value, const char* key, std::string_view where) {
  std::vector<TokenId> ids;
  for (const Json& item : list(value, key, where)) {
    ids.push_back(require_integer<TokenId>(item, key, where));
  }
  return ids;
}

float probability(const Json& value, const char* key, std::string_view where) {
  if (!value.is_number()) {
    fail(ErrorCode::kCorruptData, "[{}] \"{}\" holds a {}; want numbers", where, key,
         value.type_name());
  }
  return static_cast<float>(value.get<double>());
}

TokenSignal token_signal_from_json(const Json& value, const SignalHeader& header,
                                   std::string_view where) {
  TokenSignal signal;
  signal.ids = token_list(value, "ids", where);
  if (header.kind == SignalKind::kDraws) {
    for (const Json& count : list(value, "counts", where)) {
      signal.probabilities.push_back(
          static_cast<float>(require_integer<int>(count, "counts", where)) /
          static_cast<float>(header.draws_or_k));
    }
  } else {
    for (const Json& item : list(value, "probabilities", where)) {
      signal.probabilities.push_back(probability(item, "probabilities", where));
    }
    signal.tail = probability(member(value, "tail", where), "tail", where);
  }
  return signal;
}

// Stores from before these were kept, and those of local teachers, have none of them.
template <class Header>
auto provenance_fields(Header& header) {
  return std::array{
      std::pair("endpoint", &header.endpoint),   std::pair("sampling", &header.sampling),
      std::pair("revision", &header.revision),   std::pair("begun", &header.begun),
      std::pair("weights", &header.weights),     std::pair("terms", &header.terms),
      std::pair("tokenizer", &header.tokenizer), std::pair("chat_template", &header.chat_template)};
}

}  // namespace

std::string_view signal_kind_name(SignalKind kind) { return kKindNames[static_cast<size_t>(kind)]; }

SignalKind signal_kind_from_name(std::string_view name, std::string_view where) {
  for (size_t i = 0; i < kKindNames.size(); ++i) {
    if (kKindNames[i] == name) return static_cast<SignalKind>(i);
  }
  fail(ErrorCode::kInvalidArgument, "[{}] signal kind \"{}\"; want text, draws or topk", where,
       name.substr(0, 40));
}

std::string_view answer_kind_name(AnswerKind kind) {
  return kAnswerNames[static_cast<size_t>(kind)];
}

AnswerKind answer_kind_from_name(std::string_view name, std::string_view where) {
  for (size_t i = 0; i < kAnswerNames.size(); ++i) {
    if (kAnswerNames[i] == name) return static_cast<AnswerKind>(i);
  }
  fail(ErrorCode::kCorruptData, "[{}] an answer of kind \"{}\"", where, name.substr(0, 40));
}

void validate_signal_header(const SignalHeader& header, std::string_view where) {
  const bool text = header.kind == SignalKind::kText;
  if (header.version != SignalHeader{}.version) {
    fail(ErrorCode::kUnsupported, "[{}] signals of version {}; want {}", where, header.version,
         SignalHeader{}.version);
  }
  if (header.vocab_size < (text ? 0 : 1) || header.vocab_size > kMaxVocabulary) {
    fail(ErrorCode::kInvalidArgument, "[{}] vocabulary of {}; want 1 to {}", where,
         header.vocab_size, kMaxVocabulary);
  }
  if (header.draws_or_k < (text ? 0 : 1) || header.draws_or_k > (text ? 0 : kMaxDraws)) {
    fail(ErrorCode::kInvalidArgument, "[{}] {} draws or probabilities a token; want {}", where,
         header.draws_or_k, text ? "0 for text" : fmt::format("1 to {}", kMaxDraws));
  }
  if (!std::isfinite(header.temperature) || header.temperature < 0) {
    fail(ErrorCode::kInvalidArgument, "[{}] temperature {}; want 0 or more", where,
         header.temperature);
  }
}

std::string first_difference(const SignalHeader& stored, const SignalHeader& wanted) {
  const auto differs = [](std::string_view field, const auto& a, const auto& b) {
    return a == b ? std::string() : fmt::format("{} is \"{}\", want \"{}\"", field, a, b);
  };
  // Templates run over many lines.
  const auto chat = [](const std::string& source) {
    return source.empty() ? "none" : fmt::format("one of {} bytes", source.size());
  };
  const auto chat_differs = [&] {
    if (stored.chat_template == wanted.chat_template) return std::string();
    return fmt::format("chat_template is {}, want {}{}", chat(stored.chat_template),
                       stored.chat_template.empty() || wanted.chat_template.empty() ? "" : "other ",
                       chat(wanted.chat_template));
  };
  for (const std::string& line :
       {differs("version", stored.version, wanted.version),
        differs("teacher_id", stored.teacher_id, wanted.teacher_id),
        differs("tokenizer_hash", stored.tokenizer_hash, wanted.tokenizer_hash),
        differs("kind", signal_kind_name(stored.kind), signal_kind_name(wanted.kind)),
        differs("draws_or_k", stored.draws_or_k, wanted.draws_or_k),
        differs("temperature", stored.temperature, wanted.temperature),
        differs("vocab_size", stored.vocab_size, wanted.vocab_size),
        differs("seed", stored.seed, wanted.seed),
        differs("prompt_template", stored.prompt_template, wanted.prompt_template), chat_differs(),
        differs("endpoint", stored.endpoint, wanted.endpoint),
        differs("sampling", stored.sampling, wanted.sampling),
        differs("weights", stored.weights, wanted.weights),
        differs("terms", stored.terms, wanted.terms),
        differs("licence", stored.licence, wanted.licence)}) {
    if (!line.empty()) return line;
  }
  return {};
}

OrderedJson signal_header_to_json(const SignalHeader& header) {
  OrderedJson json = OrderedJson::object();
  json["alambic_signals"] = header.version;
  json["teacher_id"] = header.teacher_id;
  json["tokenizer_hash"] = header.tokenizer_hash;
  json["licence"] = header.licence;
  json["prompt_template"] = header.prompt_template;
  json["kind"] = signal_kind_name(header.kind);
  json["draws_or_k"] = header.draws_or_k;
  json["temperature"] = header.temperature;
  json["vocab_size"] = header.vocab_size;
  json["seed"] = header.seed;
  for (const auto& [key, value] : provenance_fields(header)) {
    if (!value->empty()) json[key] = *value;
  }
  return json;
}

SignalHeader signal_header_from_json(const Json& value, std::string_view where) {
  SignalHeader header;
  header.version = integer<int>(value, "alambic_signals", where);
  header.teacher_id = require<std::string>(value, "teacher_id", where);
  header.tokenizer_hash = require<std::string>(value, "tokenizer_hash", where);
  header.licence = require<std::string>(value, "licence", where);
  header.prompt_template = require<std::string>(value, "prompt_template", where);
  header.kind = signal_kind_from_name(require<std::string>(value, "kind", where), where);
  header.draws_or_k = integer<int>(value, "draws_or_k", where);
  header.temperature = require<double>(value, "temperature", where);
  header.vocab_size = integer<int>(value, "vocab_size", where);
  header.seed = integer<uint64_t>(value, "seed", where);
  for (const auto& [key, field] : provenance_fields(header)) {
    *field = optional<std::string>(value, key, "", where);
  }
  validate_signal_header(header, where);
  return header;
}

OrderedJson signal_row_to_json(const SignalRow& row, const SignalHeader& header) {
  OrderedJson json = OrderedJson::object();
  json["example"] = row.example;
  json["sample"] = row.sample;
  json["prompt"] = row.prompt;
  json["text"] = row.text;
  json["tokens"] = row.tokens;
  json["prompt_tokens"] = row.prompt_tokens;
  json["time"] = row.time;
  json["signals"] = OrderedJson::array();
  for (const TokenSignal& signal : row.signals) {
    OrderedJson item = OrderedJson::object();
    item["ids"] = signal.ids;
    if (header.kind == SignalKind::kDraws) {
      item["counts"] = OrderedJson::array();
      for (const float p : signal.probabilities) {
        item["counts"].push_back(std::lround(p * static_cast<float>(header.draws_or_k)));
      }
    } else {
      item["probabilities"] = signal.probabilities;
      item["tail"] = signal.tail;
    }
    json["signals"].push_back(std::move(item));
  }
  return json;
}

SignalRow signal_row_from_json(const Json& value, const SignalHeader& header,
                               std::string_view where) {
  SignalRow row;
  row.example = integer<int64_t>(value, "example", where);
  row.sample = integer<int>(value, "sample", where);
  row.prompt = require<std::string>(value, "prompt", where);
  row.text = require<std::string>(value, "text", where);
  row.tokens = token_list(value, "tokens", where);
  row.prompt_tokens = integer<int>(value, "prompt_tokens", where);
  row.time = integer<int64_t>(value, "time", where);
  for (const Json& item : list(value, "signals", where)) {
    row.signals.push_back(token_signal_from_json(item, header, where));
  }
  return row;
}

}  // namespace alambic
