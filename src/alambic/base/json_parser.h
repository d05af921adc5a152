// A JSON parser (RFC 8259) that loses nothing: what the library's number types cannot hold is kept
// as it is written, see is_written_number. It reads what Python's json module reads, NaN and
// Infinity included. Private to base/json.cc. Thread safety: plain functions. Errors: kCorruptData
// naming `where`, the byte from 1, in a text of several lines the line, and what is wrong there.
#pragma once

#include <string_view>

#include "alambic/base/json.h"

namespace alambic {

enum class KeyRule { kLastWins, kUnique };

template <class J>
J parse_json_text(std::string_view text, std::string_view where, KeyRule rule);

extern template Json parse_json_text<Json>(std::string_view, std::string_view, KeyRule);
extern template OrderedJson parse_json_text<OrderedJson>(std::string_view, std::string_view,
                                                         KeyRule);

}  // namespace alambic
