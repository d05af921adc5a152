// The parts of a report about how a student decodes: its curve of speed against quality, and
// replays of generations. Private to this room; rules and errors as report.h.
#pragma once

#include "alambic/eval/report.h"

namespace alambic {

Json to_json(const QualityReport& quality);
Json to_json(const ReplayReport& replay);
QualityReport quality_from_json(const Json& json, std::string_view where);
ReplayReport replay_from_json(const Json& json, std::string_view where);

// HTML; empty where there is nothing to show.
std::string quality_curve_html(const RunReport& report);
std::string replays_html(const RunReport& report);
// Of what these two put on a page: rules for its style sheet.
std::string decoding_style(const RunReport& report);

}  // namespace alambic
