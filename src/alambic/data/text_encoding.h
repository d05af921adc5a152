// Texts of files as UTF-8, whatever they were saved in.
//
// Thread safety: plain functions. Errors: kInvalidArgument for an encoding that is not known;
// kCorruptData, naming file and line and the likely encoding, for bytes that are not of it.
#pragma once

#include <string>
#include <string_view>

namespace alambic {

// `bytes` of the file `where` as UTF-8, less a byte order mark. `encoding`: "utf-8", "latin-1",
// "windows-1252", "utf-16" (little endian without a mark), "utf-16le" or "utf-16be"; case, "_" and
// common other names (utf8, iso-8859-1, cp1252) are understood. Lines that carriage returns alone
// end are lines.
std::string decode_text(std::string bytes, std::string_view encoding, std::string_view where);

// kInvalidArgument, with the names that are known, for one that is not.
void check_encoding(std::string_view encoding, std::string_view where);

}  // namespace alambic
