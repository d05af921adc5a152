#include "alambic/base/interrupt.h"

#include <csignal>

#include "alambic/base/error.h"

namespace alambic {
namespace {

volatile std::sig_atomic_t flag = 0;

void on_signal(int signal) {
  if (flag != 0) std::_Exit(128 + signal);
  flag = 1;
}

}  // namespace

void install_interrupt_handler() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

bool interrupted() { return flag != 0; }

void throw_if_interrupted(const char* what, const char* resume_hint) {
  if (interrupted()) fail(ErrorCode::kInterrupted, "[{}] interrupted; {}", what, resume_hint);
}

}  // namespace alambic
