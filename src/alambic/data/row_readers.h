// The readers behind readers.h, by form: text in, rows out. Private to this room.
// Errors: as readers.h.
#pragma once

#include <string_view>

#include "alambic/data/readers.h"
#include "alambic/data/row_collector.h"

namespace alambic {

Rows json_line_rows(std::string_view text, std::string_view where, const FieldNames& names);
Rows json_list_rows(std::string_view text, std::string_view where, const FieldNames& names);
// `separator`: that of the table, or 0 to find it in the first row.
Rows table_rows(std::string_view text, std::string_view where, const FieldNames& names,
                char separator);

}  // namespace alambic
