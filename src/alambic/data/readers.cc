#include "alambic/data/readers.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/base/json.h"
#include "alambic/data/conversation.h"
#include "alambic/data/csv.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

constexpr std::array<const char*, 6> kCompletionNames = {"completion", "reference", "answer",
                                                         "label",      "output",    "response"};
constexpr std::array<const char*, 2> kTextNames = {"text", "story"};
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

std::string read_text(const std::string& path) {
  std::string text = read_maybe_gzip(path);
  if (std::string_view(text).starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());
  return text;
}

bool has(const OrderedJson& row, const char* key) {
  return row.contains(key) && !row.at(key).is_null();
}

// A field as text; numbers and booleans as JSON writes them.
std::string field_text(const OrderedJson& row, const std::string& key, std::string_view where) {
  const auto it = row.find(key);
  if (it == row.end()) {
    std::string names;
    for (const auto& item : row.items()) names += (names.empty() ? "" : ", ") + item.key();
    fail(ErrorCode::kCorruptData, "[{}] field \"{}\" is missing; the row has {}", where, key,
         names.empty() ? "none" : names.substr(0, 200));
  }
  if (it->is_string()) return it->get<std::string>();
  if (it->is_number() || it->is_boolean()) return dump_json(*it);
  fail(ErrorCode::kCorruptData, "[{}] field \"{}\" is a JSON {}; want a string", where, key,
       it->type_name());
}

template <size_t N>
const char* first_present(const OrderedJson& row, const std::array<const char*, N>& names) {
  for (const char* name : names) {
    if (has(row, name)) return name;
  }
  return nullptr;
}

std::string prompt_by_usual_names(const OrderedJson& row, std::string_view where) {
  if (has(row, "prompt")) return field_text(row, "prompt", where);
  if (has(row, "instruction")) {
    std::string prompt = field_text(row, "instruction", where);
    const std::string input = has(row, "input") ? field_text(row, "input", where) : "";
    return input.empty() ? prompt : prompt + "\n" + input;
  }
  return has(row, "question") ? field_text(row, "question", where) : "";
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

// The instruction and answer of each of `instances`, as self-instruct writes its tasks.
void append_instances(const OrderedJson& row, const std::string& id, std::string_view where,
                      std::vector<Example>& examples) {
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
    const std::string input = has(instance, "input") ? field_text(instance, "input", place) : "";
    if (!input.empty()) question.append("\n").append(input);
    examples.push_back({.prompt = std::move(question),
                        .completion = field_text(instance, "output", place),
                        .id = i == 0 ? id : fmt::format("{}-{}", id, i + 1),
                        .where = std::string(where)});
  }
}

void append_row(const OrderedJson& row, const FieldNames& names, int64_t number,
                std::string_view where, std::vector<Example>& examples) {
  Example example;
  example.id = std::to_string(number);
  example.where = where;
  if (row.is_string() && names.form == RowForm::kAny) {
    example.completion = row.get<std::string>();
    examples.push_back(std::move(example));
    return;
  }
  if (!row.is_object()) {
    fail(ErrorCode::kCorruptData, "[{}] is a JSON {}; want an object or a string", where,
         row.type_name());
  }
  check_form(row, names.form, where);
  if (has(row, "id")) example.id = field_text(row, "id", where);
  const bool named = !names.prompt.empty() || !names.completion.empty();
  if (!named && read_conversation(row, where, example)) {
    examples.push_back(std::move(example));
    return;
  }
  if (!named && has(row, "instances") && row.at("instances").is_array()) {
    append_instances(row, example.id, where, examples);
    return;
  }
  const char* completion = first_present(row, kCompletionNames);
  const char* text = first_present(row, kTextNames);
  example.prompt = names.prompt.empty() ? prompt_by_usual_names(row, where)
                                        : field_text(row, names.prompt, where);
  if (!names.completion.empty()) {
    example.completion = field_text(row, names.completion, where);
  } else if (completion != nullptr) {
    example.completion = field_text(row, completion, where);
  }
  if (example.prompt.empty() && text != nullptr) {
    std::string& place = example.completion.empty() ? example.completion : example.prompt;
    place = field_text(row, text, where);
  }
  if (example.prompt.empty() && example.completion.empty()) {
    fail(ErrorCode::kCorruptData,
         "[{}] holds neither a prompt nor a text; want \"prompt\" and \"completion\", or \"text\", "
         "or name the fields",
         where);
  }
  drop_spelled_end(example.completion);
  examples.push_back(std::move(example));
}

// Rows of JSON must be UTF-8.
void check_utf8(std::string_view text, std::string_view where) {
  const size_t valid = valid_utf8_prefix(text);
  if (valid < text.size()) {
    fail(ErrorCode::kCorruptData, "[{}] is not UTF-8 at byte {}", where, valid);
  }
}

template <class Text>
std::string joined(const std::vector<Text>& pieces, std::string_view separator) {
  std::string text;
  for (const Text& piece : pieces) {
    if (!text.empty()) text += separator;
    text += piece;
  }
  return text;
}

// The column called `wanted`; where nothing is wanted, one of the usual names or else column
// `fallback`.
size_t column_index(const CsvRow& header, const std::string& wanted,
                    std::span<const char* const> usual, size_t fallback, std::string_view where) {
  const auto index = [&](std::string_view name) {
    return static_cast<size_t>(std::find(header.fields.begin(), header.fields.end(), name) -
                               header.fields.begin());
  };
  if (!wanted.empty()) {
    if (index(wanted) < header.fields.size()) return index(wanted);
    fail(ErrorCode::kInvalidArgument, "[{}] has no column \"{}\"; got {}", where, wanted,
         joined(header.fields, ", ").substr(0, 200));
  }
  for (const char* name : usual) {
    if (index(name) < header.fields.size()) return index(name);
  }
  if (fallback < header.fields.size()) return fallback;
  fail(ErrorCode::kCorruptData, "[{}] has {} columns; want at least {}", where,
       header.fields.size(), fallback + 1);
}

constexpr size_t kNoColumn = static_cast<size_t>(-1);

size_t column_called(const CsvRow& header, std::string_view name) {
  const auto found = std::find(header.fields.begin(), header.fields.end(), name);
  return found == header.fields.end() ? kNoColumn
                                      : static_cast<size_t>(found - header.fields.begin());
}

void check_width(const CsvRow& header, const CsvRow& row, std::string_view where) {
  if (row.fields.size() == header.fields.size()) return;
  fail(ErrorCode::kCorruptData, "[{}:{}] has {} fields; want {}, as in the first row", where,
       row.line, row.fields.size(), header.fields.size());
}

// A column whose cells are turns, as JSON.
size_t conversation_column(const CsvRow& header) {
  const size_t messages = column_called(header, "messages");
  return messages != kNoColumn ? messages : column_called(header, "conversations");
}

std::vector<Example> conversations_from_csv(CsvReader& reader, const CsvRow& header, size_t turns,
                                            std::string_view where) {
  std::vector<Example> examples;
  CsvRow row;
  while (reader.next(row)) {
    check_width(header, row, where);
    const std::string place = fmt::format("{}:{}", where, row.line);
    OrderedJson fields = OrderedJson::object();
    for (const char* name : {"tools", "system"}) {
      const size_t column = column_called(header, name);
      if (column != kNoColumn) fields[name] = row.fields[column];
    }
    check_utf8(row.fields[turns], place);
    fields[header.fields[turns]] = parse_ordered_json(row.fields[turns], place);
    Example example;
    example.id = std::to_string(row.line);
    example.where = place;
    read_conversation(fields, place, example);
    examples.push_back(std::move(example));
  }
  return examples;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (line = trimmed(line); !line.empty(); line = trimmed(line)) {
    words.push_back(line.substr(0, line.find_first_of(" \t")));
    line.remove_prefix(words.back().size());
  }
  return words;
}

// A slot that occurs again turns its value into a list.
void add_slot(OrderedJson& slots, const std::string& name, const std::string& value) {
  if (!slots.contains(name)) {
    slots[name] = value;
  } else if (slots[name].is_array()) {
    slots[name].push_back(value);
  } else {
    slots[name] = OrderedJson::array({slots[name], value});
  }
}

OrderedJson slots_of(std::span<const std::string_view> words,
                     std::span<const std::string_view> tags, std::string_view where) {
  OrderedJson slots = OrderedJson::object();
  std::string name, value;
  const auto close = [&] {
    if (!name.empty()) add_slot(slots, name, value);
    name.clear();
  };
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string_view tag = tags[i];
    if (tag == "O") {
      close();
      continue;
    }
    if (tag.size() < 3 || (tag[0] != 'B' && tag[0] != 'I') || tag[1] != '-') {
      fail(ErrorCode::kCorruptData, "[{}] tag \"{}\"; want O, B-name or I-name", where,
           tag.substr(0, 40));
    }
    // An I- tag that continues nothing opens a slot: some annotations drop the B-.
    if (tag[0] == 'I' && tag.substr(2) == name) {
      value.append(" ").append(words[i]);
      continue;
    }
    close();
    name = tag.substr(2);
    value = words[i];
  }
  close();
  return slots;
}

void check_same_length(const std::string& path, size_t lines, const std::string& other,
                       size_t other_lines) {
  if (lines == other_lines) return;
  fail(ErrorCode::kCorruptData, "[{}] has {} lines; want {}, as in {}", path, lines, other_lines,
       other);
}

RowForm row_form_of(std::string_view format) {
  if (format == "alpaca") return RowForm::kAlpaca;
  if (format == "sharegpt") return RowForm::kShareGpt;
  if (format == "messages") return RowForm::kMessages;
  return format == "pairs" ? RowForm::kPairs : RowForm::kAny;
}

std::string format_of(const DataSource& source) {
  if (source.format != "auto" && row_form_of(source.format) == RowForm::kAny) {
    return source.format;
  }
  if (!source.target_path.empty()) return "parallel";
  if (!source.path.empty() && file_exists(source.path + ".seq.in")) return "snips";
  std::filesystem::path path(source.path);
  if (path.extension() == ".gz") path = path.stem();
  const std::string extension = path.extension().string();
  for (const auto& [ending, format] :
       std::initializer_list<std::pair<std::string_view, const char*>>{{".jsonl", "jsonl"},
                                                                       {".ndjson", "jsonl"},
                                                                       {".json", "json"},
                                                                       {".csv", "csv"},
                                                                       {".txt", "text"}}) {
    if (extension == ending) return format;
  }
  if (!file_exists(source.path)) {
    fail(ErrorCode::kNotFound, "[{}] does not exist", source.path);
  }
  fail(
      ErrorCode::kInvalidArgument,
      "[{}] the name does not tell the format; set it to jsonl, json, csv, parallel, snips or text",
      source.path);
}

}  // namespace

std::vector<Example> parse_jsonl(std::string_view text, std::string_view where,
                                 const FieldNames& names) {
  std::vector<Example> examples;
  int64_t number = 0;
  for (const std::string_view line : split_lines(text)) {
    ++number;
    if (trimmed(line).empty()) continue;
    const std::string place = fmt::format("{}:{}", where, number);
    check_utf8(line, place);
    append_row(parse_ordered_json(line, place), names, number, place, examples);
  }
  return examples;
}

std::vector<Example> read_jsonl(const std::string& path, const FieldNames& names) {
  return parse_jsonl(read_text(path), path, names);
}

std::vector<Example> read_text_json(const std::string& path, const FieldNames& names) {
  const std::string text = read_text(path);
  check_utf8(text, path);
  const OrderedJson rows = parse_ordered_json(text, path);
  if (!rows.is_array()) {
    fail(ErrorCode::kCorruptData, "[{}] is a JSON {}; want a list", path, rows.type_name());
  }
  std::vector<Example> examples;
  int64_t number = 0;
  for (const OrderedJson& row : rows) {
    const std::string place = fmt::format("{}: item {}", path, ++number);
    append_row(row, names, number, place, examples);
  }
  return examples;
}

std::vector<Example> parse_csv(std::string_view text, std::string_view where,
                               const std::string& prompt_column,
                               const std::string& completion_column) {
  CsvReader reader(text, where);
  CsvRow header, row;
  if (!reader.next(header)) fail(ErrorCode::kCorruptData, "[{}] is empty", where);
  const bool named = !prompt_column.empty() || !completion_column.empty();
  const size_t turns = named ? kNoColumn : conversation_column(header);
  if (turns != kNoColumn) return conversations_from_csv(reader, header, turns, where);
  constexpr std::array<const char*, 3> kPromptNames = {"prompt", "instruction", "question"};
  const size_t prompt = column_index(header, prompt_column, kPromptNames, 0, where);
  const size_t completion = column_index(header, completion_column, kCompletionNames, 1, where);
  // Alpaca's third column.
  const bool alpaca = !named && header.fields[prompt] == "instruction";
  const size_t input = alpaca ? column_called(header, "input") : kNoColumn;
  std::vector<Example> examples;
  while (reader.next(row)) {
    check_width(header, row, where);
    std::string question = row.fields[prompt];
    if (input != kNoColumn && !row.fields[input].empty()) question += "\n" + row.fields[input];
    examples.push_back({.prompt = std::move(question),
                        .completion = row.fields[completion],
                        .id = std::to_string(row.line),
                        .where = fmt::format("{}:{}", where, row.line)});
  }
  return examples;
}

std::vector<Example> read_csv(const std::string& path, const std::string& prompt_column,
                              const std::string& completion_column) {
  return parse_csv(read_text(path), path, prompt_column, completion_column);
}

std::vector<Example> read_parallel(const std::string& source_path, const std::string& target_path) {
  const std::string source_text = read_text(source_path), target_text = read_text(target_path);
  const auto sources = split_lines(source_text), targets = split_lines(target_text);
  check_same_length(target_path, targets.size(), source_path, sources.size());
  std::vector<Example> examples;
  for (size_t i = 0; i < sources.size(); ++i) {
    const std::string_view source = trimmed(sources[i]), target = trimmed(targets[i]);
    if (source.empty() || target.empty()) continue;
    examples.push_back({.prompt = std::string(source),
                        .completion = std::string(target),
                        .id = std::to_string(i + 1),
                        .where = fmt::format("{}:{}", source_path, i + 1)});
  }
  return examples;
}

std::vector<Example> read_snips(const std::string& prefix) {
  const std::string in_path = prefix + ".seq.in", out_path = prefix + ".seq.out",
                    label_path = prefix + ".label";
  const std::string in_text = read_text(in_path), out_text = read_text(out_path),
                    label_text = read_text(label_path);
  const auto in = split_lines(in_text), out = split_lines(out_text),
             labels = split_lines(label_text);
  check_same_length(out_path, out.size(), in_path, in.size());
  check_same_length(label_path, labels.size(), in_path, in.size());
  std::vector<Example> examples;
  for (size_t i = 0; i < in.size(); ++i) {
    const std::string where = fmt::format("{}:{}", out_path, i + 1);
    const auto words = words_of(in[i]), tags = words_of(out[i]);
    if (words.size() != tags.size()) {
      fail(ErrorCode::kCorruptData, "[{}] has {} tags for {} words", where, tags.size(),
           words.size());
    }
    if (words.empty()) continue;
    OrderedJson answer = OrderedJson::object();
    answer["intent"] = std::string(trimmed(labels[i]));
    answer["slots"] = slots_of(words, tags, where);
    examples.push_back({.prompt = joined(words, " "),
                        .completion = dump_json(answer),
                        .id = std::to_string(i + 1),
                        .where = fmt::format("{}:{}", in_path, i + 1)});
  }
  return examples;
}

std::vector<Example> read_text_lines(const std::string& path) {
  const std::string text = read_text(path);
  std::vector<Example> examples;
  int64_t number = 0;
  for (const std::string_view line : split_lines(text)) {
    ++number;
    if (!trimmed(line).empty()) {
      examples.push_back({.completion = std::string(trimmed(line)),
                          .id = std::to_string(number),
                          .where = fmt::format("{}:{}", path, number)});
    }
  }
  return examples;
}

std::vector<Example> read_examples(const DataSource& source) {
  if (source.path.empty()) {
    fail(ErrorCode::kInvalidArgument, "[data] no path; want a file to read");
  }
  const std::string format = format_of(source);
  const FieldNames names{source.prompt_field, source.completion_field, row_form_of(source.format)};
  std::vector<Example> examples;
  if (format == "jsonl") {
    examples = read_jsonl(source.path, names);
  } else if (format == "json") {
    examples = read_text_json(source.path, names);
  } else if (format == "csv") {
    examples = read_csv(source.path, names.prompt, names.completion);
    const bool turns = names.form == RowForm::kShareGpt || names.form == RowForm::kMessages;
    if (turns && !examples.empty() && examples[0].messages.is_null()) {
      fail(ErrorCode::kCorruptData, "[{}] has no column \"messages\" or \"conversations\"",
           source.path);
    }
  } else if (format == "parallel") {
    if (source.target_path.empty()) {
      fail(ErrorCode::kInvalidArgument, "[{}] parallel text needs a target path, too", source.path);
    }
    examples = read_parallel(source.path, source.target_path);
  } else if (format == "snips") {
    examples = read_snips(source.path);
  } else if (format == "text") {
    examples = read_text_lines(source.path);
  } else {
    fail(ErrorCode::kInvalidArgument,
         "[{}] format \"{}\"; want auto, jsonl, json, csv, parallel, snips, text, or a form of "
         "rows: "
         "alpaca, sharegpt, messages or pairs",
         source.path, format);
  }
  if (examples.empty()) fail(ErrorCode::kCorruptData, "[{}] holds no examples", source.path);
  if (source.limit > 0 && static_cast<size_t>(source.limit) < examples.size()) {
    examples.resize(static_cast<size_t>(source.limit));
  }
  return examples;
}

void write_jsonl(const std::string& path, std::span<const Example> examples) {
  AtomicFile file(path);
  for (const Example& example : examples) {
    OrderedJson row = OrderedJson::object();
    row["id"] = example.id;
    row["prompt"] = example.prompt;
    row["completion"] = example.completion;
    if (!example.messages.is_null()) row["messages"] = example.messages;
    if (!example.tools.is_null()) row["tools"] = example.tools;
    const std::string line = dump_json(row) + "\n";
    file.write(line.data(), line.size());
  }
  file.commit();
}

}  // namespace alambic
