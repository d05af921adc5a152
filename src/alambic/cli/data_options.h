// The options that name a data file, the same for every verb that reads one.
#pragma once

#include <CLI/CLI.hpp>

#include "alambic/data/readers.h"

namespace alambic {

// --data, --target, --format, --encoding, --prompt-field, --completion-field, --limit
void add_data_options(CLI::App& verb, DataSource& source);

// The examples of a source; rows that its reader leaves out are named on standard error.
std::vector<Example> read_examples_aloud(const DataSource& source);

}  // namespace alambic
