#include "alambic/decode/replay.h"

#include <gtest/gtest.h>

#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

using Kind = ReplayPiece::Kind;

TEST(Replay, SaysWhatBecameOfEachToken) {
  const std::vector<std::string> corpus = {"a b c d"};
  const Tokenizer tokenizer = train_bpe(corpus, {.vocab_size = 300});
  const auto ids = tokenizer.encode("abcd", {.special_prefix = false});
  ASSERT_EQ(ids.size(), 4U);
  const TokenId mask = tokenizer.vocab_size();
  Replay replay(tokenizer, mask);
  const auto shown = [&](std::vector<TokenId> settled, std::vector<TokenId> open) {
    std::vector<std::pair<Kind, std::string>> pieces;
    for (const ReplayPiece& piece : replay.frame({settled, open, 1}))
      pieces.emplace_back(piece.kind, piece.text);
    return pieces;
  };
  using Pieces = std::vector<std::pair<Kind, std::string>>;
  EXPECT_EQ(shown({}, {ids[0], mask, mask}), (Pieces{{Kind::kNew, "a"}, {Kind::kMask, "░░"}}));
  EXPECT_EQ(shown({}, {ids[0], ids[1], mask}),
            (Pieces{{Kind::kOpen, "a"}, {Kind::kNew, "b"}, {Kind::kMask, "░"}}));
  EXPECT_EQ(shown({ids[0]}, {ids[3], ids[2]}),
            (Pieces{{Kind::kSettled, "a"}, {Kind::kChanged, "d"}, {Kind::kNew, "c"}}));
  EXPECT_EQ(shown({ids[0], ids[3], ids[2]}, {}), (Pieces{{Kind::kSettled, "adc"}}));
}

}  // namespace
}  // namespace alambic
