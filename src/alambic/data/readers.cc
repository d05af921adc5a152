#include "alambic/data/readers.h"

#include <algorithm>
#include <filesystem>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/base/json.h"
#include "alambic/base/trimmed.h"
#include "alambic/data/row_fields.h"
#include "alambic/data/row_readers.h"
#include "alambic/data/text_encoding.h"

namespace alambic {
namespace {

std::string read_text(const std::string& path, std::string_view encoding) {
  return decode_text(read_maybe_gzip(path), encoding, path);
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
                                                                       {".tsv", "tsv"},
                                                                       {".txt", "text"}}) {
    if (extension == ending) return format;
  }
  if (!file_exists(source.path)) {
    fail(ErrorCode::kNotFound, "[{}] does not exist", source.path);
  }
  fail(
      ErrorCode::kInvalidArgument,
      "[{}] the name does not tell the format; set it to jsonl, json, csv, tsv, parallel, snips or "
      "text",
      source.path);
}

// A pair with an empty side teaches nothing.
Rows parallel_rows(const DataSource& source) {
  if (source.target_path.empty()) {
    fail(ErrorCode::kInvalidArgument, "[{}] parallel text needs a target path, too", source.path);
  }
  const std::string source_text = read_text(source.path, source.encoding),
                    target_text = read_text(source.target_path, source.encoding);
  const auto sources = split_lines(source_text), targets = split_lines(target_text);
  check_same_length(source.target_path, targets.size(), source.path, sources.size());
  Rows rows;
  for (size_t i = 0; i < sources.size(); ++i) {
    const std::string_view asked = trimmed(sources[i]), answer = trimmed(targets[i]);
    std::string place = fmt::format("{}:{}", source.path, i + 1);
    if (asked.empty() || answer.empty()) {
      rows.left_out.push_back(
          {asked.empty() ? LeftOut::Reason::kEmptyPrompt : LeftOut::Reason::kNoAnswer,
           std::move(place), ""});
      continue;
    }
    rows.examples.push_back({.prompt = std::string(asked),
                             .completion = std::string(answer),
                             .id = std::to_string(i + 1),
                             .where = std::move(place)});
  }
  return rows;
}

Rows snips_rows(const std::string& prefix, std::string_view encoding) {
  const std::string in_path = prefix + ".seq.in", out_path = prefix + ".seq.out",
                    label_path = prefix + ".label";
  const std::string in_text = read_text(in_path, encoding),
                    out_text = read_text(out_path, encoding),
                    label_text = read_text(label_path, encoding);
  const auto in = split_lines(in_text), out = split_lines(out_text),
             labels = split_lines(label_text);
  check_same_length(out_path, out.size(), in_path, in.size());
  check_same_length(label_path, labels.size(), in_path, in.size());
  Rows rows;
  for (size_t i = 0; i < in.size(); ++i) {
    const std::string where = fmt::format("{}:{}", out_path, i + 1);
    const auto words = words_of(in[i]), tags = words_of(out[i]);
    if (words.size() != tags.size()) {
      fail(ErrorCode::kCorruptData, "[{}] has {} tags for {} words", where, tags.size(),
           words.size());
    }
    if (words.empty()) {
      rows.left_out.push_back(
          {LeftOut::Reason::kEmptyPrompt, fmt::format("{}:{}", in_path, i + 1), ""});
      continue;
    }
    OrderedJson answer = OrderedJson::object();
    answer["intent"] = std::string(trimmed(labels[i]));
    answer["slots"] = slots_of(words, tags, where);
    rows.examples.push_back({.prompt = joined(words, " "),
                             .completion = dump_json(answer),
                             .id = std::to_string(i + 1),
                             .where = fmt::format("{}:{}", in_path, i + 1)});
  }
  return rows;
}

Rows text_rows(const DataSource& source) {
  const std::string text = read_text(source.path, source.encoding);
  Rows rows;
  int64_t number = 0;
  for (const std::string_view line : split_lines(text)) {
    ++number;
    if (is_blank(line)) continue;
    rows.examples.push_back({.completion = std::string(trimmed(line)),
                             .id = std::to_string(number),
                             .where = fmt::format("{}:{}", source.path, number)});
  }
  return rows;
}

Rows rows_of(const DataSource& source) {
  const std::string format = format_of(source);
  const FieldNames names{source.prompt_field, source.completion_field, row_form_of(source.format)};
  const auto text = [&] { return read_text(source.path, source.encoding); };
  if (format == "jsonl") return json_line_rows(text(), source.path, names);
  if (format == "json") return json_list_rows(text(), source.path, names);
  if (format == "parallel") return parallel_rows(source);
  if (format == "snips") return snips_rows(source.path, source.encoding);
  if (format == "text") return text_rows(source);
  if (format != "csv" && format != "tsv") {
    fail(ErrorCode::kInvalidArgument,
         "[{}] format \"{}\"; want auto, jsonl, json, csv, tsv, parallel, snips, text, or a form "
         "of rows: alpaca, sharegpt, messages or pairs",
         source.path, format);
  }
  Rows rows = table_rows(text(), source.path, names, format == "tsv" ? '\t' : '\0');
  const bool turns = names.form == RowForm::kShareGpt || names.form == RowForm::kMessages;
  if (turns && !rows.examples.empty() && rows.examples[0].messages.is_null()) {
    fail(ErrorCode::kCorruptData, "[{}] has no column \"messages\" or \"conversations\"",
         source.path);
  }
  return rows;
}

}  // namespace

std::vector<Example> parse_jsonl(std::string_view text, std::string_view where,
                                 const FieldNames& names) {
  return json_line_rows(text, where, names).examples;
}

std::vector<Example> read_jsonl(const std::string& path, const FieldNames& names) {
  return parse_jsonl(read_text(path, "utf-8"), path, names);
}

std::vector<Example> parse_csv(std::string_view text, std::string_view where,
                               const std::string& prompt_column,
                               const std::string& completion_column) {
  return table_rows(text, where, {prompt_column, completion_column}, '\0').examples;
}

std::vector<Example> read_examples(const DataSource& source, std::vector<LeftOut>* left_out) {
  if (source.path.empty()) {
    fail(ErrorCode::kInvalidArgument, "[data] no path; want a file to read");
  }
  Rows rows = rows_of(source);
  if (!source.prompts_only && !rows.advice.empty()) {
    throw Error(ErrorCode::kCorruptData, rows.advice);
  }
  if (rows.examples.empty()) {
    fail(ErrorCode::kCorruptData, "[{}] holds no examples{}", source.path,
         rows.left_out.empty()
             ? ""
             : fmt::format("; {} rows, of which the first has {}: {}", rows.left_out.size(),
                           reason_name(rows.left_out[0].reason), rows.left_out[0].where));
  }
  std::vector<Example>& examples = rows.examples;
  if (source.limit > 0 && static_cast<size_t>(source.limit) < examples.size()) {
    examples.resize(static_cast<size_t>(source.limit));
  }
  if (left_out != nullptr) {
    left_out->insert(left_out->end(), rows.left_out.begin(), rows.left_out.end());
  }
  return examples;
}

void write_jsonl(const std::string& path, std::span<const Example> examples) {
  AtomicFile file(path);
  for (const Example& example : examples) {
    OrderedJson row = OrderedJson::object();
    row["id"] = example.id;
    if (example.prompt.empty() && example.messages.is_null()) {
      row["text"] = example.completion;
    } else {
      row["prompt"] = example.prompt;
      row["completion"] = example.completion;
    }
    if (!example.messages.is_null()) row["messages"] = example.messages;
    if (!example.tools.is_null()) row["tools"] = example.tools;
    const std::string line = dump_json(row) + "\n";
    file.write(line.data(), line.size());
  }
  file.commit();
}

}  // namespace alambic
