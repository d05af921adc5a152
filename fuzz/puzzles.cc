// Any bytes as a puzzle and its answer, apart at the first zero byte.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "alambic/base/error.h"
#include "alambic/data/puzzles.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t zero = text.find('\0');
  const std::string_view prompt = text.substr(0, zero);
  const std::string_view answer =
      zero == std::string_view::npos ? std::string_view() : text.substr(zero + 1);
  alambic::solves_puzzle(prompt, answer);
  try {
    alambic::require_puzzle(prompt);
  } catch (const alambic::Error&) {
  }
  return 0;
}
