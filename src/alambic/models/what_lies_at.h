// What a path leads to, for those who were given it in place of a model. Reads names and beginnings
// of files alone. Thread safety: stateless.
#pragma once

#include <string>

namespace alambic {

// A model directory, adapters, or a GGUF file, by what tells them from others.
bool is_model(const std::string& path);
// The directory of a run.
bool is_run(const std::string& path);
// The directory of a linear classifier (eval/linear_classifier.h), by the file that it holds.
inline constexpr const char* kLinearFile = "linear.safetensors";
bool is_linear_classifier(const std::string& path);

// A path that is no model's, in words: "a signal store", "an empty directory".
std::string what_lies_at(const std::string& path);

// kNotFound or kInvalidArgument where no model lies there, saying what does.
void check_is_model(const std::string& path);

}  // namespace alambic
