// The names that people give to the parts of a row, and what a name that is not known may mean.
// Thread safety: pure functions.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

namespace alambic {

inline constexpr std::array<const char*, 3> kPromptNames = {"prompt", "instruction", "question"};
inline constexpr std::array<const char*, 6> kCompletionNames = {
    "completion", "reference", "answer", "label", "output", "response"};
inline constexpr std::array<const char*, 2> kTextNames = {"text", "story"};

enum class Part { kPrompt, kCompletion };

// Of the fields that a row has, the one that is probably meant as this part: a known name in other
// letters or mistyped, or a word for the same; "" for none. Known names themselves are not among
// them.
std::string likely_field(std::span<const std::string> fields, Part part);

// "no \"completion\"; found \"target\": set data.completion_field = \"target\" …".
std::string field_advice(Part part, std::string_view found);

}  // namespace alambic
