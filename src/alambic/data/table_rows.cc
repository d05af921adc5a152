// Rows of a table: comma-, semicolon-, tab- or bar-separated values below a row of names.
#include <algorithm>

#include "alambic/base/error.h"
#include "alambic/base/printable.h"
#include "alambic/data/conversation.h"
#include "alambic/data/csv.h"
#include "alambic/data/field_names.h"
#include "alambic/data/row_fields.h"
#include "alambic/data/row_readers.h"

namespace alambic {
namespace {

constexpr size_t kNoColumn = static_cast<size_t>(-1);

size_t column_called(const CsvRow& header, std::string_view name) {
  const auto found = std::find(header.fields.begin(), header.fields.end(), name);
  return found == header.fields.end() ? kNoColumn
                                      : static_cast<size_t>(found - header.fields.begin());
}

void check_width(const CsvRow& header, const CsvRow& row, std::string_view where) {
  if (row.fields.size() == header.fields.size()) return;
  fail(ErrorCode::kCorruptData,
       "[{}:{}] has {}; want {}, as in the first row (a field that holds the separator stands in "
       "double quotes)",
       where, row.line, counted(static_cast<long long>(row.fields.size()), "field"),
       header.fields.size());
}

// Nobody can tell which of two columns of one name is meant.
void check_one_column(const CsvRow& header, size_t column, std::string_view where) {
  if (column == kNoColumn) return;
  const std::string& name = header.fields[column];
  if (std::count(header.fields.begin(), header.fields.end(), name) > 1) {
    fail(ErrorCode::kCorruptData, "[{}:1] has several columns called \"{}\"; rename all but one",
         where, name);
  }
}

// Which columns are prompt and completion.
class Columns {
 public:
  Columns(const CsvRow& header, const FieldNames& names, std::string_view where)
      : header_(header), where_(where) {
    prompt = find(names.prompt, kPromptNames);
    completion = find(names.completion, kCompletionNames);
    const bool one = header.fields.size() == 1;
    if (one && prompt == kNoColumn && completion == kNoColumn && names.prompt.empty() &&
        std::find(kTextNames.begin(), kTextNames.end(), header.fields[0]) != kTextNames.end()) {
      completion = 0;
      text = true;
      return;
    }
    const bool asks = prompt != kNoColumn;
    if (prompt == kNoColumn) prompt = by_place(Part::kPrompt, 0, completion);
    if (completion == kNoColumn && !(asks && only_ids_beside(prompt))) {
      completion = by_place(Part::kCompletion, 1, prompt);
    }
  }

  size_t prompt = kNoColumn, completion = kNoColumn;
  bool text = false;  // of texts alone

 private:
  size_t find(const std::string& wanted, std::span<const char* const> usual) const {
    if (!wanted.empty()) {
      const size_t column = column_called(header_, wanted);
      if (column != kNoColumn) return column;
      fail(ErrorCode::kInvalidArgument, "[{}] has no column \"{}\"; got {}", where_, wanted,
           names_in(header_.fields));
    }
    for (const char* name : usual) {
      if (const size_t column = column_called(header_, name); column != kNoColumn) return column;
    }
    return kNoColumn;
  }

  static bool is_count(const std::string& name) {
    return name.empty() || name == "id" || name == "index" || name == "ID" || name == "Id";
  }
  bool counts_rows(size_t column) const { return is_count(header_.fields[column]); }
  bool only_ids_beside(size_t column) const {
    for (size_t i = 0; i < header_.fields.size(); ++i) {
      if (i != column && !counts_rows(i)) return false;
    }
    return true;
  }

  // Of two columns the first asks and the second answers, where their names do not say otherwise.
  // Of more, nobody can tell.
  size_t by_place(Part part, size_t place, size_t other) const {
    const size_t size = header_.fields.size();
    if (size == 2 && other != kNoColumn) place = 1 - other;
    const bool good = place < size && place != other && !counts_rows(place);
    const std::string likely = likely_field(header_.fields, part);
    if (!likely.empty() && (!good || header_.fields[place] != likely)) {
      fail(ErrorCode::kCorruptData, "[{}:1] {}", where_, field_advice(part, likely));
    }
    const auto ids =
        static_cast<size_t>(std::count_if(header_.fields.begin(), header_.fields.end(),
                                          [](const std::string& name) { return is_count(name); }));
    if (good && size - ids <= 2) return place;
    if (place >= size) {
      fail(ErrorCode::kCorruptData, "[{}] has {} columns; want at least {}", where_, size,
           place + 1);
    }
    const char* name = part == Part::kPrompt ? "prompt" : "completion";
    fail(ErrorCode::kCorruptData,
         "[{0}:1] has no column for the {1}; got {2}: set data.{1}_field, or --{1}-field", where_,
         name, names_in(header_.fields));
  }

  const CsvRow& header_;
  std::string_view where_;
};

// A column whose cells are turns, as JSON.
size_t conversation_column(const CsvRow& header) {
  const size_t messages = column_called(header, "messages");
  return messages != kNoColumn ? messages : column_called(header, "conversations");
}

Rows conversation_rows(CsvReader& reader, const CsvRow& header, size_t turns,
                       std::string_view where) {
  Rows rows;
  CsvRow row;
  while (reader.next(row)) {
    check_width(header, row, where);
    const std::string place = fmt::format("{}:{}", where, row.line);
    if (is_blank(row.fields[turns])) {
      rows.left_out.push_back({LeftOut::Reason::kNoAnswer, place, "no turns"});
      continue;
    }
    OrderedJson fields = OrderedJson::object();
    for (const char* name : {"tools", "system"}) {
      const size_t column = column_called(header, name);
      if (column != kNoColumn) fields[name] = row.fields[column];
    }
    fields[header.fields[turns]] = parse_ordered_json(row.fields[turns], place);
    Example example;
    example.id = std::to_string(row.line);
    example.where = place;
    if (read_conversation(fields, place, example)) {
      rows.examples.push_back(std::move(example));
    } else {
      rows.left_out.push_back({LeftOut::Reason::kNoAnswer, place, "no turns"});
    }
  }
  return rows;
}

}  // namespace

Rows table_rows(std::string_view text, std::string_view where, const FieldNames& names,
                char separator) {
  CsvReader reader(text, where, separator != 0 ? separator : separator_of(text));
  CsvRow header, row;
  if (!reader.next(header)) fail(ErrorCode::kCorruptData, "[{}] is empty", where);
  const bool named = !names.prompt.empty() || !names.completion.empty();
  const size_t turns = named ? kNoColumn : conversation_column(header);
  check_one_column(header, turns, where);
  if (turns != kNoColumn) return conversation_rows(reader, header, turns, where);
  const Columns columns(header, names, where);
  for (const size_t column : {columns.prompt, columns.completion})
    check_one_column(header, column, where);
  // Alpaca's third column.
  const bool alpaca = !named && !columns.text && header.fields[columns.prompt] == "instruction";
  const size_t input = alpaca ? column_called(header, "input") : kNoColumn;
  RowCollector rows(where, "", "");
  while (reader.next(row)) {
    check_width(header, row, where);
    Example example{.id = std::to_string(row.line), .where = fmt::format("{}:{}", where, row.line)};
    if (columns.prompt != kNoColumn) example.prompt = row.fields[columns.prompt];
    if (columns.completion != kNoColumn) example.completion = row.fields[columns.completion];
    if (input != kNoColumn && !row.fields[input].empty())
      example.prompt += "\n" + row.fields[input];
    rows.add(std::move(example),
             columns.text ? RowCollector::Kind::kText : RowCollector::Kind::kPair);
  }
  return rows.finish();
}

}  // namespace alambic
