#include "alambic/data/csv.h"

#include "alambic/base/error.h"

namespace alambic {

std::string CsvReader::quoted_field(int64_t row_line) {
  text_.remove_prefix(1);
  std::string field;
  for (;;) {
    const size_t quote = text_.find('"');
    if (quote == std::string_view::npos) {
      fail(ErrorCode::kCorruptData, "[{}:{}] a quoted field does not end", where_, row_line);
    }
    const std::string_view piece = text_.substr(0, quote);
    for (const char c : piece) line_ += c == '\n' ? 1 : 0;
    field += piece;
    text_.remove_prefix(quote + 1);
    if (text_.empty() || text_.front() != '"') return field;
    field.push_back('"');
    text_.remove_prefix(1);
  }
}

std::string_view CsvReader::plain_field() {
  const std::string_view field = text_.substr(0, text_.find_first_of(",\r\n"));
  text_.remove_prefix(field.size());
  return field;
}

bool CsvReader::next(CsvRow& row) {
  while (text_.starts_with('\n') || text_.starts_with("\r\n")) {
    text_.remove_prefix(text_.front() == '\n' ? 1 : 2);
    ++line_;
  }
  if (text_.empty()) return false;
  row.line = line_;
  row.fields.clear();
  for (;;) {
    if (text_.starts_with('"')) {
      row.fields.push_back(quoted_field(row.line));
    } else {
      row.fields.emplace_back(plain_field());
    }
    if (text_.starts_with(',')) {
      text_.remove_prefix(1);
      continue;
    }
    if (text_.starts_with("\r\n")) text_.remove_prefix(1);
    if (text_.empty()) return true;
    if (text_.front() != '\n') {
      fail(ErrorCode::kCorruptData,
           "[{}:{}] field {} is followed by other text; want a comma or "
           "the end of the line",
           where_, row.line, row.fields.size());
    }
    text_.remove_prefix(1);
    ++line_;
    return true;
  }
}

}  // namespace alambic
