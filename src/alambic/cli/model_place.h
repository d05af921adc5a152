// Where the model lies that a command was given. Thread safety: stateless.
#pragma once

#include <string>

namespace alambic {

// The path of a model directory or GGUF file: `given` itself, or the student of a run, with a note
// on standard error. kNotFound or kInvalidArgument where no model lies there, saying what does.
std::string model_at(const std::string& given);

}  // namespace alambic
