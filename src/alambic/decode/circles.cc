#include "alambic/decode/circles.h"

#include <algorithm>

namespace alambic {
namespace {

// The tokens that one sequence must fill to be a circle.
int circle_size(std::span<const TokenId> sequence) {
  constexpr size_t kStutter = 2;
  constexpr int kStutterTokens = 96, kTableTokens = 256, kTurns = 10, kTokens = 128;
  if (sequence.size() <= kStutter) return kStutterTokens;
  constexpr size_t kTableKinds = 3;  // a digit, what stands between, the end of a line
  std::array<TokenId, kTableKinds> kinds{};
  size_t different = 0;
  for (const TokenId token : sequence) {
    const auto known = kinds.begin() + static_cast<std::ptrdiff_t>(different);
    if (std::find(kinds.begin(), known, token) != known) continue;
    if (different == kTableKinds)
      return std::max(kTurns * static_cast<int>(sequence.size()), kTokens);
    kinds[different++] = token;
  }
  return kTableTokens;
}

}  // namespace

bool Circles::closed_by(std::span<const TokenId> tokens) {
  constexpr int kLeast = 96;  // tokens of any circle
  const size_t last = tokens.size() - 1;
  bool closed = false;
  for (size_t period = 1; period <= std::min(kLongestPeriod, last); ++period) {
    int& matches = matches_[period - 1];
    matches = tokens[last] == tokens[last - period] ? matches + 1 : 0;
    const int filled = matches + static_cast<int>(period);
    if (matches > 0 && filled >= kLeast && !closed)
      closed = filled >= circle_size(tokens.last(period));
  }
  return closed;
}

}  // namespace alambic
