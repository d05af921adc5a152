// The options that name a data file, the same for every verb that reads one.
#pragma once

#include <CLI/CLI.hpp>

#include "alambic/data/readers.h"

namespace alambic {

// --data, --target, --format, --prompt-field, --completion-field, --limit
void add_data_options(CLI::App& verb, DataSource& source);

}  // namespace alambic
