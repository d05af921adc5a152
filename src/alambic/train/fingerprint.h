// What a training run must agree with to be gone on with, as text: lines of `key = value` under
// [section] headings, as a recipe is written.
//
// Thread safety: pure functions.
#pragma once

#include <string>
#include <string_view>

namespace alambic {

// The first setting in which two fingerprints differ, as "student.dim was 16 and is 32"; "" where
// they are the same. Lines are compared in order.
std::string first_setting_difference(std::string_view was, std::string_view is);

}  // namespace alambic
