// What a user should know of the files of a model that a command opens.
// Thread safety: one thread. Errors: those of opening the model.
#pragma once

#include <string>

namespace alambic {

// Says on standard error, once in a command, where a model's files disagree and what was taken.
// Says nothing of a path that is not there: whoever opens it does.
void remark_on_model(const std::string& path);

}  // namespace alambic
