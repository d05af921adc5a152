// A linear classifier (eval/linear_classifier.h) where a verb was given one in place of a model.
// Thread safety: one thread.
#pragma once

#include <CLI/CLI.hpp>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "alambic/eval/linear_classifier.h"

namespace alambic {

// Opens the classifier in a directory. kInvalidArgument for an option of the verb that was typed
// and is none of `used`: it is for language models.
LinearClassifier open_linear(const CLI::App& verb, const std::string& directory,
                             std::initializer_list<std::string_view> used);

// Says on standard error which texts the classifier will not read to their end.
void remark_long_texts(std::span<const std::string> texts);

}  // namespace alambic
