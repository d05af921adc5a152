#include "alambic/distill/own_texts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "alambic/base/error.h"
#include "alambic/data/signal_store.h"
#include "alambic/decode/prompting.h"
#include "alambic/models/transformer.h"
#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

class OwnTexts : public testing::Test {
 protected:
  OwnTexts() : tokenizer_(vocabulary()) {
    ModelConfig c;
    c.vocab_size = tokenizer_.vocab_size();
    c.dim = 16;
    c.layers = 1;
    c.heads = c.kv_heads = 2;
    c.head_dim = 8;
    c.ffn = 24;
    model_ = std::make_unique<Transformer>(c);
    model_->initialise(3);
    freeze_for_inference(*model_, Precision::kFp32);
    Rng rng(2);
    for (int i = 0; i < 150; ++i) {
      Sequence s;
      for (int k = 0; k < 10 + i % 5; ++k)
        s.tokens.push_back(static_cast<TokenId>(2 + rng.below(200)));
      s.prompt_tokens = 4;
      data_.push_back(std::move(s));
    }
    options_.prompts = 100;
    options_.max_new_tokens = 200;
    options_.temperature = 1;
  }
  ~OwnTexts() override { std::filesystem::remove_all(directory_); }

  static Tokenizer vocabulary() {
    const std::vector<std::string> texts{"one two three", "three four one two"};
    return train_bpe(texts, {.vocab_size = 300, .special_tokens = {"<|endoftext|>"}});
  }
  std::string store(const char* name) {
    std::filesystem::create_directories(directory_);
    return directory_ + "/" + name;
  }
  std::vector<Sequence> write(const char* name) {
    return write_own_texts(*model_, tokenizer_, data_, options_, store(name));
  }

  Tokenizer tokenizer_;
  std::unique_ptr<Transformer> model_;
  std::vector<Sequence> data_;
  OwnTextOptions options_;
  std::string directory_ =
      std::filesystem::temp_directory_path() / ("alambic_own_" + std::to_string(::getpid()));
};

std::vector<std::vector<TokenId>> tokens_of(const std::vector<Sequence>& list) {
  std::vector<std::vector<TokenId>> tokens;
  tokens.reserve(list.size());
  for (const Sequence& s : list) tokens.push_back(s.tokens);
  return tokens;
}

TEST_F(OwnTexts, AnswerPromptsOfTheDataToTheEndAndAreMarked) {
  const std::vector<Sequence> own = write("a.sqlite");
  EXPECT_GT(own.size(), 10U);
  EXPECT_LT(own.size(), 90U);  // a model that knows nothing ends after 300 tokens on the average
  std::set<std::vector<TokenId>> prompts;
  for (const Sequence& s : data_) prompts.insert({s.tokens.begin(), s.tokens.begin() + 4});
  for (const Sequence& s : own) {
    EXPECT_TRUE(s.own);
    EXPECT_EQ(s.tokens.back(), end_token(tokenizer_));
    EXPECT_GT(s.tokens.size(), 4U);
    EXPECT_TRUE(prompts.contains({s.tokens.begin(), s.tokens.begin() + 4}));
  }
}

TEST_F(OwnTexts, WhatContinuesATextNeedNotEnd) {
  for (Sequence& s : data_) s.prompt_tokens = 1;
  options_.max_new_tokens = 6;
  EXPECT_EQ(write("a.sqlite").size(), 100U);
}

TEST_F(OwnTexts, WhereNoAnswerEndsTheGivenTextsRemain) {
  options_.prompts = 3;
  options_.max_new_tokens = 1;
  EXPECT_EQ(mixed_with(write("a.sqlite"), data_, 0.5, 1).size(), data_.size());
}

TEST_F(OwnTexts, AStoreThatWasCutOffGoesOnToTheSameTexts) {
  const auto whole = tokens_of(write("whole.sqlite"));
  const SignalStore complete = SignalStore::open(store("whole.sqlite"));
  {
    SignalStore part = SignalStore::create_or_resume(store("part.sqlite"), complete.header());
    std::vector<SignalRow> some;
    complete.for_each([&](const SignalRow& row) {
      if (row.example % 3 == 0) some.push_back(row);
    });
    part.append(some);
  }
  EXPECT_EQ(tokens_of(write("part.sqlite")), whole);
}

TEST_F(OwnTexts, TextsOfAnotherModelAreRefused) {
  write("a.sqlite");
  options_.model_checksum = "0123";
  EXPECT_THROW(write("a.sqlite"), Error);
}

TEST_F(OwnTexts, ATextWithoutAPromptIsContinuedFromItsBeginning) {
  Sequence s = data_[0];
  EXPECT_EQ(text_beginning(s).size(), 4U);
  s.prompt_tokens = 1;
  EXPECT_EQ(text_beginning(s).size(), 5U);
  s.tokens.assign(200, 7);
  EXPECT_EQ(text_beginning(s).size(), 16U);
}

TEST_F(OwnTexts, AreMixedWithTheShareOfOthersThatIsAsked) {
  std::vector<Sequence> own(30, data_[0]);
  for (Sequence& s : own) s.own = true;
  const std::vector<Sequence> mixed = mixed_with(own, data_, 0.75, 1);
  EXPECT_EQ(mixed.size(), 120U);
  EXPECT_EQ(mixed_with(own, data_, 0, 1).size(), 30U);
  EXPECT_EQ(mixed_with(own, data_, 0.9, 1).size(), 180U);  // there are no more than 150
}

}  // namespace
}  // namespace alambic
