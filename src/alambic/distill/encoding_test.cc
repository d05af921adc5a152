#include "alambic/distill/encoding.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "alambic/base/error.h"
#include "alambic/distill/recipe.h"
#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

Tokenizer digit_tokenizer() {
  BpeTrainOptions options;
  options.vocab_size = 300;
  options.special_tokens = {kEndToken, kAnswerToken, kMaskToken};
  return train_bpe({}, options);
}

TEST(Encoding, OfAFormTheBlanksAreLearnedAndNothingElse) {
  const Tokenizer tokenizer = digit_tokenizer();
  ModelCard card;
  card.blank = "0";
  const auto s = encode_example(tokenizer, card, {.prompt = "1030", .completion = "1234"}, 10);
  ASSERT_TRUE(s);
  EXPECT_EQ(s->tokens, tokenizer.encode("1234"));
  EXPECT_EQ(s->prompt_tokens, 0);
  EXPECT_EQ(s->learned, (std::vector<bool>{false, true, false, true}));
  std::vector<TokenId> prompt = tokenizer.encode("1234");
  prompt[1] = prompt[3] = *tokenizer.find(kMaskToken);
  EXPECT_EQ(encode_prompt(tokenizer, card, "1030"), prompt);
  EXPECT_FALSE(encode_example(tokenizer, card, {.prompt = "1030", .completion = "1234"}, 3));
}

TEST(Encoding, AFormWhoseCompletionIsNotThePromptFilledInIsRefused) {
  const Tokenizer tokenizer = digit_tokenizer();
  ModelCard card;
  card.blank = "0";
  for (const char* completion : {"1244", "123", "12345", ""}) {
    EXPECT_FALSE(encode_example(tokenizer, card, {.prompt = "1030", .completion = completion}, 10))
        << completion;
  }
  const auto encoded = encode_sequences(Encoder(tokenizer, card),
                                        {.prompt = "1234", .completion = "1234", .id = "7"}, 10);
  ASSERT_TRUE(encoded.left_out);
  EXPECT_EQ(encoded.left_out->reason, LeftOut::Reason::kNotValid);
  EXPECT_EQ(encoded.left_out->where, "row 7");
}

TEST(Encoding, ACanvasIsFilledUpWithTheEnd) {
  const Tokenizer tokenizer = digit_tokenizer();
  ModelCard card;
  card.prompt_template = "{prompt}<|answer|>";
  card.canvas = 4;
  const auto s = encode_example(tokenizer, card, {.prompt = "12", .completion = "3"}, 10);
  ASSERT_TRUE(s);
  EXPECT_EQ(s->prompt_tokens, 3);
  ASSERT_EQ(s->tokens.size(), 7U);
  for (size_t i = 4; i < 7; ++i) EXPECT_EQ(s->tokens[i], end_token(tokenizer));
  EXPECT_TRUE(encode_example(tokenizer, card, {.prompt = "12", .completion = "345"}, 10));
  EXPECT_FALSE(encode_example(tokenizer, card, {.prompt = "12", .completion = "3456"}, 10));
}

TEST(Encoding, WhatIsLeftOutSaysWhyAndWhere) {
  const Tokenizer tokenizer = digit_tokenizer();
  ModelCard card;
  card.chat_template =
      "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}"
      "{% endif %}[{{ m.role }}]{{ m.content }}<|endoftext|>{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  const auto turns = [](const char* json) { return OrderedJson::parse(json); };
  const std::vector<Example> rows = {
      {.prompt = "q", .completion = "a", .id = "1", .where = "d.jsonl:1"},
      {.id = "2",
       .messages = turns(R"([{"role": "system", "content": "s"}, {"role": "user", "content": "q"},
                             {"role": "assistant", "content": "a"}])"),
       .where = "d.jsonl:2"},
      {.prompt = "q", .completion = std::string(99, 'a'), .id = "3", .where = "d.jsonl:3"},
      {.id = "4", .messages = turns(R"([{"role": "user", "content": "q"}])")}};
  std::vector<LeftOut> left_out;
  EXPECT_EQ(encode_examples(tokenizer, card, rows, 60, &left_out).size(), 1U);
  ASSERT_EQ(left_out.size(), 3U);
  EXPECT_EQ(left_out[0].where, "d.jsonl:2");
  EXPECT_EQ(left_out[0].reason, LeftOut::Reason::kNotValid);
  EXPECT_NE(left_out[0].detail.find("no system"), std::string::npos);
  EXPECT_EQ(left_out[1].where, "d.jsonl:3");
  EXPECT_EQ(left_out[1].reason, LeftOut::Reason::kTooLong);
  EXPECT_EQ(left_out[2].where, "row 4");
  EXPECT_EQ(left_out[2].reason, LeftOut::Reason::kNoAnswer);
}

TEST(Encoding, StudentsOfEveryAttentionAndPositionReadBackAsTheyWere) {
  const std::string directory = testing::TempDir() + "alambic_student_shapes";
  for (const char* attention : {"causal", "all"}) {
    for (const char* positions : {"rotary", "learned"}) {
      std::filesystem::remove_all(directory);
      const Recipe recipe = parse_recipe(
          "[student]\ndim = 16\nlayers = 2\nheads = 2\nkv_heads = 2\nffn = 32\ninit = \"random\"",
          "r.toml",
          {std::string("student.attention=") + attention,
           std::string("student.positions=") + positions});
      ModelConfig config = student_config(recipe, 50);
      config.mask = 49;
      Transformer model(config);
      model.initialise(1);
      ModelCard card;
      card.canvas = 12;
      card.blank = "_";
      save_model(model, card, directory, DType::kF32);
      const LoadedModel loaded = load_model(directory);
      EXPECT_EQ(loaded.model->config().causal, recipe.attention == "causal");
      EXPECT_EQ(loaded.model->config().mask, 49);
      EXPECT_EQ(loaded.card.canvas, 12);
      EXPECT_EQ(loaded.card.blank, "_");
      const std::vector<TokenId> tokens = {1, 2, 3, 49};
      const Forward forward{{{4, 0, config.causal}}};
      const NoGrad no_grad;
      const Tensor before = model.hidden(tokens, forward);
      const Tensor after = loaded.model->hidden(tokens, forward);
      EXPECT_TRUE(
          std::equal(before.values().begin(), before.values().end(), after.values().begin()))
          << attention << " " << positions;
    }
  }
}

}  // namespace
}  // namespace alambic
