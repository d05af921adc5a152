// Comma-separated values as RFC 4180 has them, or with another separator: quoted fields may hold
// separators, doubled quotes and line breaks; lines end in LF or CRLF. Blank lines are skipped; a
// quote inside an unquoted field is an ordinary character. Thread safety: one reader, one thread.
// The text must outlive its reader. Errors: kCorruptData naming `where` and the line on which the
// bad row starts.
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

// The separator of a table, by its first row: whichever of , ; tab | occurs most outside quotes. A
// first line "sep=;", as spreadsheets write it, names it.
char separator_of(std::string_view text);

class CsvReader {
 public:
  // A first line "sep=…" is passed over.
  CsvReader(std::string_view text, std::string_view where, char separator = ',');
  // Reads the next row; false at the end.
  bool next(CsvRow& row);

 private:
  std::string quoted_field(int64_t row_line);
  std::string_view plain_field();

  std::string_view text_;
  std::string where_;
  char separator_;
  int64_t line_ = 1;
};

}  // namespace alambic
