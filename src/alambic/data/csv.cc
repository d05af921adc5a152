#include "alambic/data/csv.h"

#include <algorithm>
#include <array>

#include "alambic/base/error.h"

namespace alambic {
namespace {

constexpr std::string_view kSeparators = ",;\t|";

// The line "sep=;" at the front of `text`, with its end; "" where there is none.
std::string_view separator_line(std::string_view text) {
  if (!text.starts_with("sep=") || text.size() < 6) return {};
  const size_t end = text.find_first_not_of("\r\n", 5);
  const std::string_view line = text.substr(0, std::min(end, text.find('\n') + 1));
  return line.size() > 5 && line.find_first_not_of("\r\n", 5) == std::string_view::npos
             ? line
             : std::string_view();
}

}  // namespace

char separator_of(std::string_view text) {
  if (!separator_line(text).empty()) return text[4];
  std::array<int, kSeparators.size()> counts{};
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    if (c == '\n') break;
    if (const size_t kind = kSeparators.find(c); kind != std::string_view::npos) ++counts[kind];
  }
  return kSeparators[static_cast<size_t>(std::max_element(counts.begin(), counts.end()) -
                                         counts.begin())];
}

CsvReader::CsvReader(std::string_view text, std::string_view where, char separator)
    : text_(text), where_(where), separator_(separator) {
  const std::string_view named = separator_line(text);
  if (!named.empty()) ++line_;
  text_.remove_prefix(named.size());
}

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
  const std::string_view field =
      text_.substr(0, text_.find_first_of(std::array{separator_, '\r', '\n'}.data(), 0, 3));
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
    if (text_.starts_with(separator_)) {
      text_.remove_prefix(1);
      continue;
    }
    if (text_.starts_with("\r\n")) text_.remove_prefix(1);
    if (text_.empty()) return true;
    if (text_.front() != '\n') {
      fail(ErrorCode::kCorruptData,
           "[{}:{}] field {} is followed by other text; want {} or the end of the line", where_,
           row.line, row.fields.size(),
           separator_ == ','    ? "a comma"
           : separator_ == '\t' ? "a tab"
                                : "the separator");
    }
    text_.remove_prefix(1);
    ++line_;
    return true;
  }
}

}  // namespace alambic
