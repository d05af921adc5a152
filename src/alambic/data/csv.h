// Comma-separated values as RFC 4180 has them: quoted fields may hold commas, doubled quotes and
// line breaks; lines end in LF or CRLF. Blank lines are skipped; a quote inside an unquoted field
// is an ordinary character.
// Thread safety: one reader, one thread. The text must outlive its reader.
// Errors: kCorruptData naming `where` and the line on which the bad row starts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace alambic {

struct CsvRow {
  int64_t line = 0;  // on which it starts, from 1
  std::vector<std::string> fields;
};

class CsvReader {
 public:
  CsvReader(std::string_view text, std::string_view where) : text_(text), where_(where) {}
  // Reads the next row; false at the end.
  bool next(CsvRow& row);

 private:
  std::string quoted_field(int64_t row_line);
  std::string_view plain_field();

  std::string_view text_;
  std::string where_;
  int64_t line_ = 1;
};

}  // namespace alambic
