#include "alambic/decode/replay.h"

namespace alambic {

ReplayFrame Replay::frame(const Refinement& state) {
  std::vector<TokenId> now(state.settled.begin(), state.settled.end());
  now.insert(now.end(), state.open.begin(), state.open.end());
  ReplayFrame frame;
  StreamDecoder stream(tokenizer_);
  const auto add = [&frame](ReplayPiece::Kind kind, const std::string& text) {
    if (text.empty()) return;
    if (frame.empty() || frame.back().kind != kind) frame.push_back({kind, ""});
    frame.back().text += text;
  };
  auto kind = ReplayPiece::Kind::kSettled;
  for (size_t i = 0; i < now.size(); ++i) {
    const bool masked = now[i] == mask_;
    const bool known = i < before_.size() && before_[i] != mask_;
    const auto last = kind;
    if (masked) {
      kind = ReplayPiece::Kind::kMask;
    } else if (known && before_[i] != now[i]) {
      kind = ReplayPiece::Kind::kChanged;
    } else if (!known) {
      kind = ReplayPiece::Kind::kNew;
    } else {
      kind = i < state.settled.size() ? ReplayPiece::Kind::kSettled : ReplayPiece::Kind::kOpen;
    }
    if (masked) {
      add(last, stream.finish());
      stream = StreamDecoder(tokenizer_);
      add(kind, "\u2591");
    } else {
      add(kind, stream.push(now[i]));
    }
  }
  add(kind, stream.finish());
  before_ = std::move(now);
  return frame;
}

}  // namespace alambic
