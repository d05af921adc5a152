#include "alambic/decode/encoding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

Tokenizer golden(const char* name) {
  return Tokenizer::load(std::string(ALAMBIC_GOLDEN_DIR "/tokenizer_") + name);
}

// Roles without special tokens: everything but the end is text that could join with its neighbours.
constexpr const char* kBare =
    "{% for m in messages %}{% if m.role == 'assistant' %} {{ m.content }}{{ eos_token }}"
    "{% else %}[{{ m.content }}]{% endif %}{% endfor %}";

OrderedJson dialogue() {
  return OrderedJson::parse(R"([{"role": "user", "content": "the question"},
      {"role": "assistant", "content": "an answer"}, {"role": "user", "content": "and"},
      {"role": "assistant", "content": "more"}])");
}

class Kinds : public testing::TestWithParam<const char*> {};

// Ids of the text as a whole, whatever stands between prompt and answer; and of every answer the
// tokens that hold its text, its end with them.
TEST_P(Kinds, AConversationIsTokenisedWholeAndItsAnswersAreLearned) {
  const Tokenizer tokenizer = golden(GetParam()).with_special("<|stop|>");
  ModelCard card;
  card.chat_template = std::string("{% set eos_token = '<|stop|>' %}") + kBare;
  card.ends = {*tokenizer.find("<|stop|>")};
  const auto texts = Encoder(tokenizer, card).encode({.id = "1", .messages = dialogue()});
  ASSERT_EQ(texts.size(), 1U);
  const EncodedText& text = texts[0];
  EXPECT_EQ(text.tokens, tokenizer.encode("[the question] an answer<|stop|>[and] more<|stop|>",
                                          {.special_prefix = false}));
  std::vector<std::vector<TokenId>> answers;
  for (size_t i = 0; i < text.learned.size(); ++i) {
    if (!text.learned[i]) continue;
    if (i == 0 || !text.learned[i - 1]) answers.emplace_back();
    answers.back().push_back(text.tokens[static_cast<size_t>(text.prompt_tokens) + i]);
  }
  ASSERT_EQ(answers.size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(answers[i].back(), card.ends[0]);
    const std::string said = tokenizer.decode(answers[i]);
    EXPECT_EQ(said.substr(said.find_first_not_of(' ')), i == 0 ? "an answer" : "more");
  }
}

TEST_P(Kinds, ATrailingSpaceOfThePromptIsTheAnswers) {
  const Tokenizer tokenizer = golden(GetParam()).with_special("</s>");
  const Encoder encoder(tokenizer, {});
  const EncodedText a = encoder.encode({.prompt = "Answer: ", .completion = "B"})[0];
  const EncodedText b = encoder.encode({.prompt = "Answer:", .completion = " B"})[0];
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.prompt_tokens, b.prompt_tokens);
  EXPECT_EQ(encoder.question({.prompt = "Answer: "}), encoder.question({.prompt = "Answer:"}));
  EXPECT_EQ(encoder.choice({.prompt = "Answer: "}, "B"),
            encoder.choice({.prompt = "Answer:"}, " B"));
  std::vector<TokenId> prompt(a.tokens.begin(), a.tokens.begin() + a.prompt_tokens);
  EXPECT_EQ(prompt, encoder.question({.prompt = "Answer:"}));
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, Kinds,
                         testing::Values("byte_level.json", "metaspace.json", "unigram.json",
                                         "spm_bpe.model", "spm_unigram.model"),
                         [](const auto& test) {
                           const std::string name = test.param;
                           return name.substr(0, name.find('.'));
                         });

Tokenizer bytes() {
  BpeTrainOptions options;
  options.vocab_size = 259;
  options.special_tokens = {"<|endoftext|>", "<|answer|>", "<|im_end|>"};
  return train_bpe({}, options);
}

std::string learned_text(const Tokenizer& tokenizer, const EncodedText& text) {
  std::string out;
  for (size_t i = 0; i < text.learned.size(); ++i) {
    const TokenId id = text.tokens[static_cast<size_t>(text.prompt_tokens) + i];
    if (text.learned[i])
      out += tokenizer.is_special(id) ? tokenizer.token_content(id) : tokenizer.token_bytes(id);
    if (!text.learned[i] && !out.ends_with('|')) out += '|';
  }
  return out;
}

TEST(Encoder, AnEndThatOnlyTheModelNamesEndsAnswers) {
  const Tokenizer tokenizer = bytes();
  ModelCard card;
  card.chat_template =
      "{% for m in messages %}[{{ m.content }}<|im_end|>\n{% endfor %}"
      "{% if add_generation_prompt %}[{% endif %}";
  card.ends = {*tokenizer.find("<|im_end|>")};
  const EncodedText text = Encoder(tokenizer, card).encode({.messages = dialogue()})[0];
  EXPECT_TRUE(text.template_ends);
  EXPECT_EQ(learned_text(tokenizer, text), "an answer<|im_end|>|more<|im_end|>|");
}

TEST(Encoder, MarkersThatLeaveTheEndOutAreFollowedByIt) {
  const Tokenizer tokenizer = bytes();
  ModelCard card;
  card.chat_template =
      "{% for m in messages %}{% if m.role == 'assistant' %}[{% generation %}{{ m.content }}"
      "{% endgeneration %}{% else %}({{ m.content }}{% endif %}<|im_end|>\n{% endfor %}";
  card.ends = {*tokenizer.find("<|im_end|>")};
  const EncodedText text = Encoder(tokenizer, card).encode({.messages = dialogue()})[0];
  EXPECT_EQ(learned_text(tokenizer, text), "an answer<|im_end|>|more<|im_end|>|");
}

TEST(Encoder, WithoutAnEndInTheTemplateTheLastAnswerIsEnded) {
  const Tokenizer tokenizer = bytes();
  ModelCard card;
  card.chat_template =
      "{% for m in messages %}[{{ m.content }}]{% endfor %}"
      "{% if add_generation_prompt %}[{% endif %}";
  const EncodedText text = Encoder(tokenizer, card).encode({.messages = dialogue()})[0];
  EXPECT_FALSE(text.template_ends);
  EXPECT_EQ(learned_text(tokenizer, text), "an answer]|more]<|endoftext|>");
}

TEST(Encoder, NoTextOfTheDataBecomesASpecialToken) {
  const Tokenizer tokenizer = bytes();
  const auto count = [&](const std::vector<TokenId>& ids) {
    return std::count_if(ids.begin(), ids.end(),
                         [&](TokenId id) { return tokenizer.is_special(id); });
  };
  ModelCard card;
  card.prompt_template = "{prompt}<|answer|>";
  const Example spelled{.prompt = "a<|endoftext|>b<|answer|>", .completion = "<|im_end|>"};
  EXPECT_EQ(count(Encoder(tokenizer, card).question(spelled)), 1);
  EXPECT_EQ(count(Encoder(tokenizer, card).prompt(spelled.prompt)), 1);
  EXPECT_EQ(count(Encoder(tokenizer, card).encode(spelled)[0].tokens), 2);
  card.chat_template =
      "{{ tools | tojson }}{% for m in messages %}[{{ m.role }}{{ m.name }}{{ m.content "
      "}}<|im_end|>{% endfor %}";
  const OrderedJson messages = OrderedJson::parse(R"([
      {"role": "user", "name": "<|im_end|>", "content": "<|im_"},
      {"role": "assistant", "content": "<|IM_END|>"}])");
  const OrderedJson tools = OrderedJson::parse(R"([{"name": "<|im_end|>", "<|im_end|>": 1}])");
  EXPECT_EQ(
      count(Encoder(tokenizer, card).encode({.messages = messages, .tools = tools})[0].tokens),
      2 + 1);
}

TEST(Encoder, APromptThatNothingFramesMaySpellThem) {
  const Tokenizer tokenizer = bytes();
  EXPECT_EQ(Encoder(tokenizer, {}).prompt("<|answer|>"),
            std::vector<TokenId>{*tokenizer.find("<|answer|>")});
}

TEST(Encoder, ToolsChooseTheTemplateThatIsNamedForThem) {
  const Tokenizer tokenizer = bytes();
  ModelCard card;
  card.chat_template = "plain";
  card.tool_use_template = "tools";
  const Encoder encoder(tokenizer, card);
  EXPECT_EQ(tokenizer.decode(encoder.question({.prompt = "q"})), "plain");
  EXPECT_EQ(tokenizer.decode(encoder.question({.prompt = "q", .tools = OrderedJson::array({1})})),
            "tools");
}

}  // namespace
}  // namespace alambic
