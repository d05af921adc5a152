#include "alambic/distill/byte_alignment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "alambic/distill/encoding.h"
#include "alambic/distill/vocabularies.h"
#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

const std::vector<std::string> kTexts = {
    "the kettle leaks and the handle of the kettle is loose", "please send the kettle back to us",
    "a new kettle is on its way to you", "the handle of your new kettle is not loose"};

Tokenizer vocabulary_of(int size) {
  BpeTrainOptions options;
  options.vocab_size = size;
  options.special_tokens = {kEndToken, kAnswerToken};
  return train_bpe(kTexts, options);
}

// A row whose teacher gives each token of its text the probability 1/2, and its neighbour by number
// 1/4.
SignalRow row_of(const Tokenizer& teacher, const ModelCard& card, const std::string& text) {
  const auto s = encode_example(teacher, card, {"why?", text, ""}, 1000);
  SignalRow row;
  row.prompt = "why?";
  row.text = text;
  row.tokens = s->tokens;
  row.prompt_tokens = s->prompt_tokens;
  for (size_t i = static_cast<size_t>(s->prompt_tokens); i < s->tokens.size(); ++i) {
    const TokenId own = s->tokens[i], other = own == 40 ? 41 : 40;
    TokenSignal signal{{own, other}, {0.5F, 0.25F}, 0.25F};
    if (own > other) signal = {{other, own}, {0.25F, 0.5F}, 0.25F};
    row.signals.push_back(std::move(signal));
  }
  return row;
}

double probability_of(const TokenSignal& signal, TokenId id) {
  const auto at = std::find(signal.ids.begin(), signal.ids.end(), id);
  return at == signal.ids.end()
             ? 0
             : double{signal.probabilities[static_cast<size_t>(at - signal.ids.begin())]};
}

void expect_sound(const TokenSignal& signal) {
  if (signal.ids.empty()) return;
  EXPECT_TRUE(std::is_sorted(signal.ids.begin(), signal.ids.end()));
  double sum = signal.tail;
  for (const float p : signal.probabilities) sum += double{p};
  EXPECT_NEAR(sum, 1, 1e-6);
}

class ByteAlignmentTest : public testing::Test {
 protected:
  Tokenizer few_ = vocabulary_of(270), many_ = vocabulary_of(330);
  ModelCard card_{.prompt_template = "{prompt}<|answer|>"};
};

TEST_F(ByteAlignmentTest, ASpecialTokenMoreMakesNoOtherVocabulary) {
  EXPECT_EQ(first_token_difference(few_, few_.with_special("<|mask|>")), "");
  EXPECT_NE(first_token_difference(few_, many_), "");
}

TEST_F(ByteAlignmentTest, BetweenEqualVocabulariesNothingChanges) {
  ByteAlignment alignment(many_, many_);
  const Encoder encoder(many_, card_);
  const SignalRow row = row_of(many_, card_, kTexts[0]);
  const auto s = alignment.sequence(row, encoder, 1000);
  ASSERT_TRUE(s);
  EXPECT_EQ(s->tokens, row.tokens);
  EXPECT_EQ(s->signals, row.signals);
  EXPECT_EQ(alignment.share(), 1);
}

// The student's tokens are several of the teacher's: each gets the product, one half to the power
// of how many.
TEST_F(ByteAlignmentTest, ALongTokensProbabilityIsTheProductOfItsParts) {
  ByteAlignment alignment(few_, many_);
  const Encoder encoder(many_, card_);
  const auto s = alignment.sequence(row_of(few_, card_, kTexts[0]), encoder, 1000);
  ASSERT_TRUE(s);
  bool merged = false;
  for (size_t i = 0; i < s->signals.size(); ++i) {
    const TokenId own = s->tokens[static_cast<size_t>(s->prompt_tokens) + i];
    if (s->signals[i].ids.empty()) continue;
    expect_sound(s->signals[i]);
    const auto parts = few_.encode(many_.token_bytes(own), {.special_prefix = false});
    const double want = many_.is_special(own) ? 0.5 : std::pow(0.5, parts.size());
    merged = merged || parts.size() > 1;
    EXPECT_NEAR(probability_of(s->signals[i], own), want, 1e-6) << many_.token_content(own);
  }
  EXPECT_TRUE(merged);
  EXPECT_GT(alignment.share(), 0.5);
}

// The teacher's tokens are several of the student's: the first of them takes the probability, and
// inside nothing is said.
TEST_F(ByteAlignmentTest, InsideATokenOfTheTeacherNothingIsSaid) {
  ByteAlignment alignment(many_, few_);
  const Encoder encoder(few_, card_);
  const SignalRow row = row_of(many_, card_, kTexts[0]);
  const auto s = alignment.sequence(row, encoder, 1000);
  ASSERT_TRUE(s);
  size_t said = 0;
  for (size_t i = 0; i < s->signals.size(); ++i) {
    if (s->signals[i].ids.empty()) continue;
    ++said;
    expect_sound(s->signals[i]);
    const TokenId own = s->tokens[static_cast<size_t>(s->prompt_tokens) + i];
    EXPECT_GE(probability_of(s->signals[i], own), 0.5 - 1e-6);
  }
  EXPECT_EQ(said, row.signals.size());
  EXPECT_LT(said, s->signals.size());
}

TEST_F(ByteAlignmentTest, TheEndOfTextSpeaksForTheEndOfText) {
  ByteAlignment alignment(few_, many_);
  const Encoder encoder(many_, card_);
  const auto s = alignment.sequence(row_of(few_, card_, kTexts[1]), encoder, 1000);
  ASSERT_TRUE(s);
  EXPECT_EQ(s->tokens.back(), *many_.eos());
  EXPECT_NEAR(probability_of(s->signals.back(), *many_.eos()), 0.5, 1e-6);
}

// A part whose probability the teacher did not list may be in its tail: nothing can be said.
TEST_F(ByteAlignmentTest, WhatTheTeacherDidNotListIsNotGuessed) {
  SignalRow row = row_of(few_, card_, kTexts[0]);
  for (size_t i = 0; i < row.signals.size(); ++i) row.signals[i] = {{45}, {0.1F}, 0.9F};
  ByteAlignment alignment(few_, many_);
  const Encoder encoder(many_, card_);
  const auto s = alignment.sequence(row, encoder, 1000);
  ASSERT_TRUE(s);
  for (size_t i = 0; i + 1 < s->signals.size(); ++i) {
    const TokenId own = s->tokens[static_cast<size_t>(s->prompt_tokens) + i];
    const size_t parts = few_.encode(many_.token_bytes(own), {.special_prefix = false}).size();
    EXPECT_TRUE(parts == 1 || s->signals[i].ids.empty());
  }
}

TEST_F(ByteAlignmentTest, RowsThatGrowTooLongAreLeftOut) {
  ByteAlignment alignment(many_, few_);
  const Encoder encoder(few_, card_);
  EXPECT_FALSE(alignment.sequence(row_of(many_, card_, kTexts[0]), encoder, 5));
}

}  // namespace
}  // namespace alambic
