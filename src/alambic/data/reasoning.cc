#include "alambic/data/reasoning.h"

#include <algorithm>

#include "alambic/base/trimmed.h"

namespace alambic {
namespace {

constexpr std::string_view kOpen = kOpenBlock, kClose = "</think>";

void add_reasoning(std::string_view block, std::string& reasoning) {
  block = trimmed(block);
  if (block.empty()) return;
  if (!reasoning.empty()) reasoning += "\n\n";
  reasoning += block;
}

}  // namespace

ReasonedText without_reasoning(std::string_view written) {
  ReasonedText result;
  std::string text;
  size_t at = 0;
  bool open = false;
  // A closing mark comes first where the template opened the block.
  if (const size_t close = written.find(kClose); close < written.find(kOpen)) open = true;
  while (at <= written.size()) {
    const size_t next = written.find(open ? kClose : kOpen, at);
    if (next == std::string_view::npos) break;
    result.thought = true;
    const std::string_view piece = written.substr(at, next - at);
    if (open) {
      add_reasoning(piece, result.reasoning);
    } else {
      text += piece;
    }
    at = next + (open ? kClose : kOpen).size();
    open = !open;
  }
  if (!open) text += written.substr(at);
  // Blocks inside blocks close more often than they opened.
  if (const size_t close = text.rfind(kClose); result.thought && close != std::string::npos) {
    add_reasoning(std::string_view(text).substr(0, close), result.reasoning);
    text.erase(0, close + kClose.size());
  }
  result.text = result.thought ? std::string(trimmed(text)) : text;
  result.open = open;
  return result;
}

std::string in_opened_block(std::string_view reasoning, std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of("\r\n"), text.size());
  return std::string(reasoning) + "\n</think>\n\n" + std::string(text.substr(begin));
}

std::string final_answer(std::string_view written) {
  ReasonedText parts = without_reasoning(written);
  return parts.open ? std::string() : std::move(parts.text);
}

}  // namespace alambic
