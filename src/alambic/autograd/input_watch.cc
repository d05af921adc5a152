#include "alambic/autograd/input_watch.h"

namespace alambic {
namespace {

thread_local const InputWatch* innermost_watch = nullptr;

}  // namespace

InputWatch::InputWatch(Callback see) : see_(std::move(see)), outer_(innermost_watch) {
  innermost_watch = this;
}
InputWatch::~InputWatch() { innermost_watch = outer_; }
const InputWatch* InputWatch::on_this_thread() { return innermost_watch; }

}  // namespace alambic
