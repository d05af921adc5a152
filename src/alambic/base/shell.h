// Words for a POSIX shell.
#pragma once

#include <string>
#include <string_view>

namespace alambic {

// The argument as one word that a shell reads back unchanged; plain words stay as they are.
std::string shell_quoted(std::string_view argument);

}  // namespace alambic
