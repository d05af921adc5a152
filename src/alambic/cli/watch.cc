#include "alambic/cli/watch.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "alambic/cli/output.h"

namespace alambic {
namespace {

// Long enough to be seen.
constexpr auto kFrame = std::chrono::milliseconds(70);

int terminal_columns() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

const char* colour_of(ReplayPiece::Kind kind) {
  switch (kind) {
    case ReplayPiece::Kind::kSettled:
      return "";
    case ReplayPiece::Kind::kOpen:
      return "\x1b[36m";
    case ReplayPiece::Kind::kNew:
      return "\x1b[1;32m";
    case ReplayPiece::Kind::kChanged:
      return "\x1b[1;31m";
    case ReplayPiece::Kind::kMask:
      return "\x1b[2m";
  }
  return "";
}

// What a terminal would obey instead of show; a carriage return would break the drawing, too.
bool harmless(char c) { return c == '\n' || c == '\t' || static_cast<unsigned char>(c) >= 0x20; }

}  // namespace

Watch::Watch(const Tokenizer& tokenizer, TokenId mask)
    : replay_(tokenizer, mask),
      sink_([this](const Refinement& state) { draw(state); }),
      terminal_(::isatty(STDOUT_FILENO) == 1) {}

void Watch::draw(const Refinement& state) {
  const ReplayFrame frame = replay_.frame(state);
  if (!terminal_) {
    std::string line = fmt::format("{:4}  ", state.forwards);
    for (const ReplayPiece& piece : frame) line += piece.text;
    print_result(line + "\n");
    return;
  }
  std::string drawing = lines_ > 0 ? fmt::format("\x1b[{}A\r\x1b[J", lines_) : "\r\x1b[J";
  const int columns = terminal_columns();
  int column = 0;
  lines_ = 1;
  for (const ReplayPiece& piece : frame) {
    drawing += colour_of(piece.kind);
    for (const char c : piece.text) {
      if (!harmless(c)) continue;
      drawing += c == '\t' ? ' ' : c;
      if (c == '\n') {
        column = 0;
        ++lines_;
      } else if ((static_cast<unsigned char>(c) & 0xc0) != 0x80 && ++column > columns) {
        column = 1;
        ++lines_;
      }
    }
    drawing += "\x1b[0m";
  }
  print_result(drawing + "\n");
  std::this_thread::sleep_for(kFrame);
}

void Watch::finish() { lines_ = 0; }

}  // namespace alambic
