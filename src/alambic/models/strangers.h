// The files that model directories consist of, ours and those of other programs, by their names.
// Thread safety: stateless.
#pragma once

#include <string>
#include <vector>

namespace alambic {

// Entries of a model directory that are none of a model's or of its training, such as somebody's
// photographs: what must not go away with it. Named as paths inside `directory`; directories end
// with a slash.
std::vector<std::string> not_of_a_model(const std::string& directory);

}  // namespace alambic
