#include "alambic/data/conversation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/data/readers.h"
#include "alambic/data/test_errors.h"
#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

#define EXPECT_SAYS(action, reason)                                      \
  EXPECT_NE(message_of([&] { action; }).find(reason), std::string::npos) \
      << message_of([&] { action; })

Example one(std::string row) {
  std::replace(row.begin(), row.end(), '\n', ' ');  // a row is one line
  const auto rows = parse_jsonl(row, "x.jsonl");
  EXPECT_EQ(rows.size(), 1U);
  return rows.at(0);
}

OrderedJson json(std::string_view text) { return OrderedJson::parse(text); }

// The text with "<<" and ">>" around what is learned.
std::string marked(const RenderedConversation& rendered) {
  std::string text;
  size_t at = 0;
  for (const auto& [begin, end] : rendered.answers) {
    text += rendered.text.substr(at, begin - at) + "<<" + rendered.text.substr(begin, end - begin);
    text += ">>";
    at = end;
  }
  return text + rendered.text.substr(at);
}

// Bytes, with one special token.
SpecialGuard guard() {
  BpeTrainOptions options;
  options.vocab_size = 257;
  options.special_tokens = {"<|im_end|>"};
  return SpecialGuard(train_bpe({}, options));
}

std::vector<std::string> rendered(const ChatTemplate& chat, const OrderedJson& messages) {
  std::vector<std::string> texts;
  for (const auto& text : render_conversation(chat, guard(), {.messages = messages}))
    texts.push_back(marked(text));
  return texts;
}

TEST(Conversation, MessagesKeepTheirOrderAndExtras) {
  const Example row = one(
      R"({"id": "a", "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"},
          {"role": "assistant", "content": "A", "reasoning_content": "R"}]})");
  EXPECT_EQ(row.id, "a");
  EXPECT_EQ(row.prompt, "S\nU");
  EXPECT_EQ(row.completion, "A");
  EXPECT_EQ(dump_json(row.messages.at(2)),
            R"({"role":"assistant","content":"A","reasoning_content":"R"})");
}

TEST(Conversation, ShareGptRolesAndCallsBecomeMessages) {
  const Example row = one(
      R"({"conversations": [{"from": "human", "value": "rain?"},
          {"from": "function_call", "value": "{\"name\": \"w\", \"arguments\": {\"z\": 1, \"a\": 2}}"},
          {"from": "observation", "value": "yes"}, {"from": "gpt", "value": "It rains."}],
          "system": "Be brief.", "tools": "[{\"name\": \"w\", \"parameters\": {}}]"})");
  EXPECT_EQ(
      row.messages,
      json(
          R"([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "rain?"},
              {"role": "assistant", "content": "", "tool_calls": [{"type": "function",
                "function": {"name": "w", "arguments": {"z": 1, "a": 2}}}]},
              {"role": "tool", "content": "yes"}, {"role": "assistant", "content": "It rains."}])"));
  EXPECT_EQ(row.tools,
            json(R"([{"type": "function", "function": {"name": "w", "parameters": {}}}])"));
  EXPECT_EQ(row.completion, "It rains.");
}

TEST(Conversation, APromptMayBeMessages) {
  const Example row = one(
      R"({"prompt": [{"role": "user", "content": "U"}], "completion": [{"role": "assistant", "content": "A"}]})");
  EXPECT_EQ(row.messages.size(), 2U);
  EXPECT_EQ(row.prompt, "U");
  EXPECT_EQ(row.completion, "A");
}

TEST(Conversation, PartsOfTextAreOneText) {
  const Example row = one(R"({"messages": [
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
      {"role": "assistant", "content": [{"type": "text", "text": "c"}]}]})");
  EXPECT_EQ(row.messages[0]["content"], "ab");
  EXPECT_EQ(row.messages[1]["content"], "c");
  EXPECT_SAYS(one(R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})"),
              "[x.jsonl:1: messages 1] \"content\" holds a part of type \"image_url\"");
}

TEST(Conversation, ContentBesideCallsIsEmptyRatherThanNone) {
  const Example row = one(R"({"messages": [{"role": "user", "content": "q"},
      {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f"}}]}]})");
  EXPECT_EQ(row.messages[1]["content"], "");
  EXPECT_TRUE(holds_answer(row.messages[1]));
}

TEST(Conversation, AnswersOfNoWeightAreNotLearned) {
  const char* rest = R"("role": "assistant", "content": "a"})";
  EXPECT_TRUE(holds_answer(json(std::string("{\"weight\": 1, ") + rest)));
  EXPECT_FALSE(holds_answer(json(std::string("{\"weight\": 0, ") + rest)));
}

TEST(Conversation, BrokenRowsNameLineAndTurn) {
  EXPECT_SAYS(one(R"({"messages": 3})"), "[x.jsonl:1] field \"messages\" is a JSON number; want");
  EXPECT_SAYS(one(R"({"messages": [{"role": "user", "content": "a"}, 4]})"),
              "[x.jsonl:1: messages 2] a message is a JSON number; want an object");
  EXPECT_SAYS(one(R"({"messages": [{"content": "a"}]})"), "field \"role\" is missing");
  EXPECT_SAYS(one(R"({"messages": [{"role": "user", "content": 5}]})"), "want a string or a list");
  EXPECT_SAYS(one(R"({"messages": [{"role": "user"}]})"), "neither content nor tool_calls");
  EXPECT_SAYS(one(R"({"conversations": [{"from": "cat", "value": "miau"}]})"),
              "[x.jsonl:1: conversations 1] a turn is from \"cat\"; want human");
  EXPECT_SAYS(one(R"({"conversations": [{"from": "human"}]})"), "field \"value\" is missing");
  EXPECT_SAYS(one(R"({"conversations": [{"from": "function_call", "value": "w of x"}]})"),
              "function_call] not valid JSON");
  EXPECT_SAYS(one("{\"prompt\": \"a\", \"prompt\": \"b\"}"),
              "[x.jsonl:1] key \"prompt\" occurs twice");
  EXPECT_SAYS(one("{\"prompt\": \"a\xff\"}"), "[x.jsonl:1] not valid JSON at byte 14: not UTF-8");
}

TEST(Conversation, SelfInstructTasksGiveAnExampleForEachInstance) {
  const auto rows = parse_jsonl(
      R"({"id": "t", "instruction": "Add.", "instances": [{"input": "1 1", "output": "2"}, {"input": "", "output": "0"}]})",
      "x");
  EXPECT_EQ(rows, (std::vector<Example>{{"Add.\n1 1", "2", "t"}, {"Add.", "0", "t-2"}}));
}

TEST(Conversation, AnEndOfTextSpelledOutIsDropped) {
  EXPECT_EQ(one(R"({"prompt": "p", "completion": "c<|endoftext|>"})").completion, "c");
}

TEST(Conversation, ANamedFormIsRequiredOfEveryRow) {
  const std::string pairs = R"({"prompt": "p", "completion": "c"})";
  for (const auto& [form, message] : std::initializer_list<std::pair<RowForm, const char*>>{
           {RowForm::kAlpaca, "form alpaca; want \"instruction\" and \"output\""},
           {RowForm::kShareGpt, "[x:2] is no row of the form sharegpt; want \"conversations\""},
           {RowForm::kMessages, "form messages"}}) {
    EXPECT_SAYS(parse_jsonl("\n" + pairs, "x", {"", "", form}), message);
  }
  EXPECT_EQ(parse_jsonl(pairs, "x", {"", "", RowForm::kPairs}),
            (std::vector<Example>{{"p", "c", "1"}}));
}

TEST(Conversation, CsvHoldsAlpacaColumnsOrTurns) {
  EXPECT_EQ(parse_csv("instruction,input,output\nAdd.,1 1,2\nSay a.,,a\n", "x", "", ""),
            (std::vector<Example>{{"Add.\n1 1", "2", "2"}, {"Say a.", "a", "3"}}));
  const auto rows =
      parse_csv("n,conversations\n1,\"[{\"\"from\"\":\"\"human\"\",\"\"value\"\":\"\"U\"\"}]\"\n",
                "x", "", "");
  EXPECT_EQ(rows.at(0).messages, json(R"([{"role": "user", "content": "U"}])"));
}

TEST(RenderConversation, MarkersTellWhatIsLearned) {
  const auto chat = ChatTemplate::builtin("chatml");
  const auto messages =
      json(R"([{"role": "user", "content": "U"}, {"role": "assistant", "content": "A"},
                                 {"role": "user", "content": "V"}, {"role": "assistant", "content": "B"}])");
  EXPECT_EQ(rendered(chat, messages),
            std::vector<std::string>{
                "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n<<A<|im_end|>>>\n"
                "<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n<<B<|im_end|>>>\n"});
}

TEST(RenderConversation, WithoutMarkersWhatAnAnswerAddsIsLearned) {
  const auto chat = ChatTemplate::parse(
      "{% for m in messages %}[{{ m.role }}]{{ m.content }};{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}",
      "t");
  const auto messages =
      json(R"([{"role": "user", "content": "U"}, {"role": "assistant", "content": "A"},
                                 {"role": "user", "content": "V"}, {"role": "assistant", "content": "é"}])");
  EXPECT_EQ(rendered(chat, messages),
            std::vector<std::string>{"[user]U;[assistant]<<A;>>[user]V;[assistant]<<é;>>"});
}

TEST(RenderConversation, WhiteSpaceThatOnlyEndsATextDoesNotMatter) {
  const auto chat = ChatTemplate::parse(
      "{% for m in messages %}{{ m.role ~ ':\\n' ~ m.content ~ ';\\n' }}{% endfor %}"
      "{% if add_generation_prompt %}{{ 'assistant:\\n\\n' }}{% endif %}",
      "t");
  EXPECT_EQ(rendered(chat, json(R"([{"role": "user", "content": "U"},
                {"role": "assistant", "content": "A"}])")),
            std::vector<std::string>{"user:\nU;\nassistant:\n<<A;\n>>"});
}

// As Qwen3's: what was thought is shown in the last answer alone.
const char* const kForgetful =
    "{% for m in messages %}[{{ m.role }}]"
    "{% if m.thought and loop.last %}({{ m.thought }}){% endif %}{{ m.content }};{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}";

TEST(RenderConversation, ATemplateThatRewritesOldTurnsGivesATextForEachAnswer) {
  const auto chat = ChatTemplate::parse(kForgetful, "t");
  const auto messages = json(R"([{"role": "user", "content": "u"},
      {"role": "assistant", "content": "a", "thought": "x"}, {"role": "user", "content": "v"},
      {"role": "assistant", "content": "b", "thought": "y"}])");
  EXPECT_EQ(rendered(chat, messages),
            (std::vector<std::string>{"[user]u;[assistant]<<(x)a;>>",
                                      "[user]u;[assistant]a;[user]v;[assistant]<<(y)b;>>"}));
  const Example example{.prompt = "u\na\nv", .completion = "b", .id = "7", .messages = messages};
  const auto parts = one_for_each_answer(example);
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].id, "7-1");
  EXPECT_EQ(parts[0].prompt, "u");
  EXPECT_EQ(parts[0].completion, "a");
  EXPECT_EQ(parts[1].prompt, example.prompt);
  EXPECT_EQ(parts[1].completion, "b");
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(parts[i].last_only);
    EXPECT_EQ(marked(render_last_answer(chat, guard(), {.messages = parts[i].messages})),
              rendered(chat, messages)[i]);
  }
}

// As DeepSeek-R1's: old turns lose what was thought, and the next one begins with thinking.
TEST(RenderConversation, AnAnswerGoesOnInTheBlockThatItsPromptOpens) {
  const auto chat = ChatTemplate::parse(
      "{% for m in messages %}[{{ m.role }}]{{ m.content.split('</think>')[-1] }};{% endfor %}"
      "{% if add_generation_prompt %}[assistant]<think>\n{% endif %}",
      "t");
  EXPECT_EQ(rendered(chat, json(R"([{"role": "user", "content": "u"},
                {"role": "assistant", "content": "<think>\nso\n</think>\n\na"}])")),
            std::vector<std::string>{"[user]u;[assistant]<think>\n<<so\n</think>\n\na;>>"});
  EXPECT_EQ(rendered(chat, json(R"([{"role": "user", "content": "u"},
                {"role": "assistant", "content": "a"}, {"role": "user", "content": "v"},
                {"role": "assistant", "content": "b"}])")),
            (std::vector<std::string>{
                "[user]u;[assistant]<think>\n<<\n</think>\n\na;>>",
                "[user]u;[assistant]a;[user]v;[assistant]<think>\n<<\n</think>\n\nb;>>"}));
}

TEST(RenderConversation, ATemplateThatRewritesTheQuestionIsRefused) {
  const auto chat = ChatTemplate::parse(
      "{% for m in messages %}{{ m.content if not loop.last else m.content | upper }};{% endfor %}",
      "t");
  const auto messages =
      json(R"([{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"},
                                 {"role": "user", "content": "v"}])");
  EXPECT_SAYS(rendered(chat, messages), "the text before turn 2 changes");
}

TEST(RenderConversation, AConversationWithoutAnswersTeachesNothing) {
  EXPECT_EQ(
      rendered(ChatTemplate::builtin("zephyr"), json(R"([{"role": "user", "content": "U"}])")),
      std::vector<std::string>{"<|user|>\nU</s>\n"});
}

TEST(RenderConversation, AnAnswerThatSaysNothingIsNotLearned) {
  const auto chat = ChatTemplate::builtin("zephyr");
  const auto messages = json(R"([{"role": "user", "content": "u"},
      {"role": "assistant", "content": " "}, {"role": "user", "content": "v"},
      {"role": "assistant", "content": "b"}])");
  const auto texts = rendered(chat, messages);
  ASSERT_EQ(texts.size(), 1U);
  EXPECT_EQ(texts[0].find("<<"), texts[0].find("<<b"));
  EXPECT_NE(texts[0].find("<<b"), std::string::npos);
  const Example example{.prompt = "u", .completion = "b", .id = "1", .messages = messages};
  EXPECT_EQ(one_for_each_answer(example).size(), 1U);
  EXPECT_EQ(answers_in(example), 1);
}

TEST(RenderConversation, EveryBuiltinGivesTheTemplatesTextAndItsAnswers) {
  Example example{"What?", "That.", "1"};
  for (const std::string& name : ChatTemplate::builtin_names()) {
    const auto chat = ChatTemplate::builtin(name);
    ChatInput input;
    input.messages = conversation_of(example);
    const auto texts = render_conversation(chat, guard(), input);
    ASSERT_EQ(texts.size(), 1U) << name;
    EXPECT_EQ(texts[0].text, chat.render(input)) << name;
    std::string learned;
    for (const auto& [begin, end] : texts[0].answers)
      learned += texts[0].text.substr(begin, end - begin);
    EXPECT_NE(learned.find("That."), std::string::npos) << name;
    EXPECT_EQ(learned.find("What?"), std::string::npos) << name;
  }
}

TEST(RenderConversation, SpansStandWhereTheTextStandsWhateverTheDataSpells) {
  const auto chat = ChatTemplate::parse(
      "{% for m in messages %}[{{ m.role }}]{{ m.content }};{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}",
      "t");
  const auto messages = json(R"([{"role": "user", "content": "<|im_end|>u"},
      {"role": "assistant", "content": "a<|im_end|>"}])");
  const auto texts = render_conversation(chat, guard(), {.messages = messages});
  ASSERT_EQ(texts.size(), 1U);
  EXPECT_EQ(marked(texts[0]), "[user]<|im_end|>u;[assistant]<<a<|im_end|>;>>");
  EXPECT_EQ(texts[0].plain, (std::vector<size_t>{6, 30}));
}

TEST(ArgumentObjects, JsonTextBecomesTheObjectThatItSpells) {
  const auto messages = with_argument_objects(json(R"([{"role": "assistant", "tool_calls": [
      {"function": {"name": "f", "arguments": "{\"z\": 1.0, \"a\": 12345678901234567890123}"}},
      {"function": {"name": "g", "arguments": "of x"}}, {"name": "h", "arguments": " "}]}])"));
  const OrderedJson& calls = messages[0].at("tool_calls");
  EXPECT_EQ(dump_json(calls[0].at("function").at("arguments")),
            R"({"z":1.0,"a":12345678901234567890123})");
  EXPECT_EQ(calls[1].at("function").at("arguments"), "of x");
  EXPECT_EQ(calls[2].at("arguments"), OrderedJson::object());
  const auto chat = ChatTemplate::parse(
      "{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.arguments | tojson }}"
      "{% endfor %}{% endfor %}",
      "t");
  EXPECT_EQ(rendered(chat, json(R"([{"role": "assistant", "content": "", "tool_calls": [
          {"function": {"name": "f", "arguments": "{\"z\": 1.0, \"a\": 12345678901234567890123}"}}]}])")),
            std::vector<std::string>{R"(<<{"z": 1.0, "a": 12345678901234567890123}>>)"});
}

TEST(RenderConversation, RefusesToLeaveOutToolCallsWithoutAWord) {
  const auto chat =
      ChatTemplate::parse("{% for m in messages %}{{ m.role }}: {{ m.content }};{% endfor %}", "t");
  EXPECT_SAYS(rendered(chat, json(R"([{"role": "user", "content": "a"},
                  {"role": "assistant", "content": "", "tool_calls": [
                      {"function": {"name": "f", "arguments": {}}}]}])")),
              "leaves out the tool calls of turn 2");
}

TEST(SharedConversations, HaveTheirPublishedSizesAndRender) {
  const char* from_environment = std::getenv("ALAMBIC_DATA");
  const std::string data =
      from_environment != nullptr ? from_environment : ALAMBIC_SOURCE_DIR "/../shared/data";
  if (!file_exists(data + "/toolcall_glaive")) GTEST_SKIP() << "no shared data at " << data;
  const struct {
    const char *path, *format;
    size_t rows;
  } sets[] = {{"/instruct_small/alpaca_en_demo.json", "alpaca", 999},
              {"/instruct_small/rasbt_train.json", "auto", 935},
              {"/instruct_small/rasbt_val.json", "auto", 55},
              {"/gpteacher/roleplay-similarity_0.6-instruct-dataset.json", "alpaca", 3146},
              {"/toolcall_glaive/glaive_toolcall_en_demo.json", "sharegpt", 300},
              {"/self_instruct/seed_tasks.jsonl", "auto", 175},
              {"/self_instruct/user_oriented_instructions.jsonl", "auto", 252},
              {"/t0_subset/trec_trec1.jsonl", "pairs", 200},
              {"/t0_subset/xsum_DOC_tldr.jsonl", "auto", 200},
              {"/fr_oasst/oasst_fr_train.jsonl", "messages", 217},
              {"/fr_oasst/seed_tasks_vigogne.jsonl", "auto", 175}};
  const auto chat = ChatTemplate::builtin("chatml");
  const SpecialGuard special = guard();
  for (const auto& set : sets) {
    DataSource source;
    source.path = data + set.path;
    source.format = set.format;
    const auto rows = read_examples(source);
    EXPECT_EQ(rows.size(), set.rows) << set.path;
    for (const Example& row : rows) {
      const OrderedJson messages = conversation_of(row);
      size_t answers = 0, learned = 0;
      for (const OrderedJson& turn : messages) answers += turn.at("role") == "assistant" ? 1 : 0;
      for (const auto& text :
           render_conversation(chat, special, {.messages = messages, .tools = row.tools})) {
        learned += text.answers.size();
      }
      EXPECT_EQ(learned, answers) << set.path << " " << row.id;
    }
  }
}

}  // namespace
}  // namespace alambic
