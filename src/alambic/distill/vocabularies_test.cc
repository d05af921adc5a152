#include "alambic/distill/vocabularies.h"

#include <gtest/gtest.h>

#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

const std::vector<std::string> kKettleTexts = {"the kettle leaks and the handle is loose",
                                               "please send the kettle back"};

Tokenizer kettle_vocabulary(int size, std::vector<std::string> special = {"<|end|>"}) {
  return train_bpe(kKettleTexts, {.vocab_size = size, .special_tokens = std::move(special)});
}

TEST(Vocabularies, SpecialTokensBehindTheOthersDoNoHarm) {
  const Tokenizer few = kettle_vocabulary(270);
  EXPECT_EQ(first_token_difference(few, few), "");
  EXPECT_EQ(first_token_difference(few, few.with_special("<|mask|>")), "");
  EXPECT_EQ(first_token_difference(few.with_special("<|mask|>"), few), "");
}

TEST(Vocabularies, TheFirstTokenThatDiffersIsNamedWithBothTexts) {
  const std::string other =
      first_token_difference(kettle_vocabulary(270), kettle_vocabulary(270, {"<|fin|>"}));
  EXPECT_NE(other.find("token 0 is \"<|end|>\" for the teacher and \"<|fin|>\""), std::string::npos)
      << other;
  const Tokenizer few = kettle_vocabulary(262), many = kettle_vocabulary(268);
  const std::string longer = first_token_difference(few, many);
  ASSERT_LT(few.vocab_size(), many.vocab_size());
  const std::string id = std::to_string(few.vocab_size());
  EXPECT_NE(longer.find("token " + id + " is no token for the teacher"), std::string::npos)
      << longer;
}

TEST(Vocabularies, AStoredAnswerTellsWhichTokenIsAnothers) {
  const Tokenizer few = kettle_vocabulary(262), many = kettle_vocabulary(268);
  SignalRow row;
  row.example = 3;
  row.text = kKettleTexts[0];
  row.tokens = many.encode(kKettleTexts[0], {.special_prefix = false});
  EXPECT_EQ(first_token_difference(row, many), "");
  const std::string found = first_token_difference(row, few);
  EXPECT_NE(found.find("in row 3, token "), std::string::npos) << found;
}

TEST(Vocabularies, PaddingAndHolesAreRowsWithoutAToken) {
  const Tokenizer tokenizer = kettle_vocabulary(270);
  const int size = tokenizer.vocab_size();
  EXPECT_EQ(rows_without_token(tokenizer, size), std::vector<TokenId>());
  EXPECT_EQ(rows_without_token(tokenizer, size + 2), (std::vector<TokenId>{size, size + 1}));
}

}  // namespace
}  // namespace alambic
