// Rows that are JSON: one object on a line, or one list of them.
#include <algorithm>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/base/trimmed.h"
#include "alambic/data/conversation.h"
#include "alambic/data/field_names.h"
#include "alambic/data/row_fields.h"
#include "alambic/data/row_readers.h"

namespace alambic {
namespace {

std::vector<std::string> fields_of(const OrderedJson& row) {
  std::vector<std::string> fields;
  for (const auto& item : row.items()) fields.push_back(item.key());
  return fields;
}

// A field as text; numbers and booleans as they are written, "" where it is absent or null.
std::string field_text(const OrderedJson& row, const char* key, std::string_view where) {
  const auto it = row.find(key);
  if (it == row.end() || it->is_null()) return "";
  if (it->is_string()) return it->get<std::string>();
  if (is_any_number(*it)) return number_text(*it);
  if (it->is_boolean()) return dump_json(*it);
  fail(ErrorCode::kCorruptData, "[{}] field \"{}\" is a JSON {}; want a string", where, key,
       it->type_name());
}

// The first field that holds something: empty, null and absent are alike.
template <size_t N>
const char* first_present(const OrderedJson& row, const std::array<const char*, N>& names) {
  for (const char* name : names) {
    const auto found = row.find(name);
    if (found == row.end() || found->is_null()) continue;
    if (!found->is_string() || !is_blank(found->template get_ref<const std::string&>())) {
      return name;
    }
  }
  return nullptr;
}

std::string prompt_by_usual_names(const OrderedJson& row, std::string_view where) {
  const char* name = first_present(row, kPromptNames);
  if (name == nullptr) return "";
  std::string prompt = field_text(row, name, where);
  if (std::string_view(name) != "instruction") return prompt;
  const std::string input = field_text(row, "input", where);
  return input.empty() ? prompt : prompt + "\n" + input;
}

// An end of text spelled out behind a completion, as the first fine-tuning services wanted it.
void drop_spelled_end(std::string& completion) {
  constexpr std::string_view kEnd = "<|endoftext|>";
  if (completion.ends_with(kEnd)) completion.resize(completion.size() - kEnd.size());
}

// A row whose form a recipe has named must be of that form.
void check_form(const OrderedJson& row, RowForm form, std::string_view where) {
  const auto want = [&](bool good, const char* name, const char* fields) {
    if (!good) {
      fail(ErrorCode::kCorruptData, "[{}] is no row of the form {}; want {}", where, name, fields);
    }
  };
  switch (form) {
    case RowForm::kAny:
      return;
    case RowForm::kAlpaca:
      return want(has(row, "instruction") && has(row, "output"), "alpaca",
                  "\"instruction\" and \"output\"");
    case RowForm::kShareGpt:
      return want(has(row, "conversations"), "sharegpt", "\"conversations\"");
    case RowForm::kMessages:
      return want(has(row, "messages"), "messages", "\"messages\"");
    case RowForm::kPairs:
      return want(has(row, "prompt") && has(row, "completion"), "pairs",
                  "\"prompt\" and \"completion\"");
  }
}

class JsonRows {
 public:
  JsonRows(std::string_view where, const FieldNames& names)
      : names_(names), rows_(where, names.prompt, names.completion) {}

  void add(const OrderedJson& row, int64_t number, std::string_view place) {
    Example example;
    example.id = std::to_string(number);
    example.where = place;
    if (row.is_string() && names_.form == RowForm::kAny) {
      example.completion = row.get<std::string>();
      return rows_.add(std::move(example), Kind::kText);
    }
    if (!row.is_object()) {
      fail(ErrorCode::kCorruptData, "[{}] is a JSON {}; want an object or a string{}", place,
           row.type_name(),
           row.is_array() ? " on each line (a list is read from a .json file, or as format json)"
                          : "");
    }
    check_form(row, names_.form, place);
    if (has(row, "id")) example.id = field_text(row, "id", place);
    const bool named = !names_.prompt.empty() || !names_.completion.empty();
    if (!named && read_conversation(row, place, example)) {
      return rows_.add(std::move(example), Kind::kConversation);
    }
    if (!named && has(row, "instances") && row.at("instances").is_array()) {
      return add_instances(row, example.id, place);
    }
    add_pair(row, std::move(example), place);
  }

  Rows finish() { return rows_.finish(); }

 private:
  using Kind = RowCollector::Kind;

  void add_pair(const OrderedJson& row, Example example, std::string_view place) {
    if (names_.prompt.empty()) {
      example.prompt = prompt_by_usual_names(row, place);
    } else {
      example.prompt = field_text(row, names_.prompt.c_str(), place);
      if (row.contains(names_.prompt)) rows_.saw_prompt_field();
    }
    if (!names_.completion.empty()) {
      example.completion = field_text(row, names_.completion.c_str(), place);
      if (row.contains(names_.completion)) rows_.saw_completion_field();
    } else if (const char* completion = first_present(row, kCompletionNames)) {
      example.completion = field_text(row, completion, place);
    }
    Kind kind = Kind::kPair;
    if (example.prompt.empty()) {
      if (const char* text = first_present(row, kTextNames)) {
        if (example.completion.empty()) kind = Kind::kText;
        (kind == Kind::kText ? example.completion : example.prompt) = field_text(row, text, place);
      }
    }
    drop_spelled_end(example.completion);
    if ((example.prompt.empty() || example.completion.empty()) && rows_.wants_fields()) {
      rows_.note_fields(place, fields_of(row));
    }
    rows_.add(std::move(example), kind);
  }

  // The instruction and answer of each of `instances`, as self-instruct writes its tasks.
  void add_instances(const OrderedJson& row, const std::string& id, std::string_view where) {
    const std::string instruction = field_text(row, "instruction", where);
    const OrderedJson& instances = row.at("instances");
    for (size_t i = 0; i < instances.size(); ++i) {
      const std::string place = fmt::format("{}: instance {}", where, i + 1);
      const OrderedJson& instance = instances[i];
      if (!instance.is_object()) {
        fail(ErrorCode::kCorruptData, "[{}] is a JSON {}; want an object", place,
             instance.type_name());
      }
      std::string question = instruction;
      const std::string input = field_text(instance, "input", place);
      if (!input.empty()) question.append("\n").append(input);
      rows_.add({.prompt = std::move(question),
                 .completion = field_text(instance, "output", place),
                 .id = i == 0 ? id : fmt::format("{}-{}", id, i + 1),
                 .where = place},
                Kind::kPair);
    }
  }

  const FieldNames& names_;
  RowCollector rows_;
};

// JSON that is spread over lines parses nowhere; say what it is instead.
void check_one_on_a_line(std::string_view line, std::string_view place) {
  const bool list = line.front() == '[' && (line.size() <= 2 || !line.ends_with(']'));
  if (list || line == "{") {
    fail(ErrorCode::kCorruptData,
         "[{}] is the beginning of a JSON {} over several lines; want one whole object on each "
         "line{}",
         place, list ? "list" : "object", list ? ", or a .json file (format json) for a list" : "");
  }
}

}  // namespace

Rows json_line_rows(std::string_view text, std::string_view where, const FieldNames& names) {
  JsonRows rows(where, names);
  int64_t number = 0;
  bool first = true;
  for (const std::string_view line : split_lines(text)) {
    ++number;
    const std::string_view content = trimmed(line);
    if (content.empty()) continue;
    const std::string place = fmt::format("{}:{}", where, number);
    if (first) check_one_on_a_line(content, place);
    first = false;
    rows.add(parse_ordered_json(line, place), number, place);
  }
  return rows.finish();
}

Rows json_list_rows(std::string_view text, std::string_view where, const FieldNames& names) {
  OrderedJson list;
  try {
    list = parse_ordered_json(text, where);
  } catch (const Error& error) {
    // Whoever names lines of JSON .json sees what they are.
    const bool lines =
        trimmed(text).starts_with('{') &&
        std::string_view(error.what()).find("more text follows") != std::string_view::npos;
    if (!lines) throw;
    fail(ErrorCode::kCorruptData,
         "[{}] holds one object after another; want one list of them, or the name .jsonl (format "
         "jsonl) for one on each line",
         where);
  }
  if (!list.is_array()) {
    fail(ErrorCode::kCorruptData, "[{}] is a JSON {}; want a list", where, list.type_name());
  }
  JsonRows rows(where, names);
  int64_t number = 0;
  for (const OrderedJson& row : list) {
    const std::string place = fmt::format("{}: item {}", where, ++number);
    rows.add(row, number, place);
  }
  return rows.finish();
}

}  // namespace alambic
