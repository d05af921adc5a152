#include "alambic/decode/prompting.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "alambic/decode/test_models.h"
#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

TEST(StopTokens, AreTheTokenizersAndThoseThatTheModelNamesEachOnce) {
  const std::vector<std::string> lines = {"a text", "another text"};
  const Tokenizer tokenizer =
      train_bpe(lines, {.vocab_size = 280, .special_tokens = {"<s>", "</s>", "<turn>"}});
  const TokenId end = *tokenizer.find("</s>"), turn = *tokenizer.find("<turn>");
  ModelConfig config;
  EXPECT_EQ(stop_tokens(tokenizer, config), std::vector<TokenId>{end});
  config.eos = {turn, end};
  EXPECT_EQ(stop_tokens(tokenizer, config), (std::vector<TokenId>{end, turn}));
}

// PositionModel writes text(position): where each stop token comes first is counted by hand.
TEST(StopTokens, WhicheverComesFirstEndsTheTextInEveryMode) {
  const PositionModel model(5);
  const Prompt prompt = PositionModel::prompt(6);
  for (const DecodeMode mode : {DecodeMode::kAutoregressive, DecodeMode::kLookup,
                                DecodeMode::kSpeculative, DecodeMode::kDiffusion}) {
    for (int place = 0; place < 20; ++place) {
      GenerateOptions options;
      options.max_tokens = 24;
      // Positions 6 to 29 hold 24 different tokens; the last of the list comes first.
      options.stop = {PositionModel::text(29), PositionModel::text(8 + place),
                      PositionModel::text(6 + place)};
      std::vector<TokenId> want;
      for (int i = 0; i < place; ++i) want.push_back(PositionModel::text(6 + i));
      const Generation out = write(mode, model, prompt, options);
      EXPECT_EQ(out.tokens, want) << name_of(mode) << " " << place;
      EXPECT_TRUE(out.stopped);
    }
  }
}

}  // namespace
}  // namespace alambic
