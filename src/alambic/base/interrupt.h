// Ctrl-C as a polite request: the first SIGINT or SIGTERM sets a flag that long loops poll, so that
// they can store what they have; a second one ends the process at once.
#pragma once

namespace alambic {

void install_interrupt_handler();
bool interrupted();
// Throws Error{kInterrupted, "[what] interrupted; ..."} if the flag is set. `resume_hint` says how
// to go on.
void throw_if_interrupted(const char* what, const char* resume_hint);

}  // namespace alambic
