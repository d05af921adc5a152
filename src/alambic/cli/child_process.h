// This program run again, as a child with fresh memory and threads of its own.
#pragma once

#include <string>
#include <vector>

namespace alambic {

// Runs this executable with `arguments`, standard error shared, and returns what it wrote to
// standard output. A signal from the terminal reaches the child too. Throws kIo where the child
// could not be started or failed without a word, kResourceExhausted where the system killed it,
// kInterrupted after Ctrl-C.
std::string run_self(const std::vector<std::string>& arguments);

}  // namespace alambic
