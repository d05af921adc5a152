// The program: reads argv, runs one verb, turns every error into one line and an exit status.
//
// Standard output carries results only; progress, summaries and errors go to standard error. The
// exit status is 0, or exit_status() of the error, or 2 for a command line that cannot be read, or
// 1 for what nobody foresaw. A reader that closes standard output early ends the program quietly.
// Call once per process: it installs signal handlers.
#pragma once

namespace alambic {

int run(int argc, char** argv);

}  // namespace alambic
