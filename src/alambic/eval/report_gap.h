// The gap between control and teacher, split by what closes it: its part of report.json and of the
// pages, and the sentence that leads them. Pure functions, safe from any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "alambic/eval/report.h"

namespace alambic {

// "the teacher's answers": a part's source, for people.
std::string source_in_words(std::string_view source);

// Which part carries the gain, in one sentence: "The teacher's answers carry it: they close 92 %
// (88 to 96) of the gap between control and teacher." Weights that were taken over from the teacher
// are never called distillation. Empty where there is neither a gap nor a reason for none.
std::string lead_sentence(const RunReport& report);

// What the agreement with the teacher counts.
std::string agreement_in_words(const RunReport& report);
// With a capital.
std::string as_sentence(std::string text);

Json gap_parts_to_json(const RunReport& report);
std::vector<GapPart> gap_parts_from_json(const Json& list, std::string_view where);

}  // namespace alambic
