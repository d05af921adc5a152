#include "alambic/distill/asking.h"

#include <gtest/gtest.h>

namespace alambic {
namespace {

Example conversation(const char* messages) {
  Example example;
  example.messages = OrderedJson::parse(messages);
  return example;
}

TEST(Asking, TurnsAreAskedUpToTheAnswerThatIsToBeWritten) {
  const Example answered = conversation(
      R"([{"role":"system","content":"S"},{"role":"user","content":"a"},
          {"role":"assistant","content":"b"},{"role":"user","content":"c"},
          {"role":"assistant","content":"d"}])");
  const OrderedJson asked = messages_to_ask(answered);
  ASSERT_EQ(asked.size(), 4U);
  EXPECT_EQ(asked.back().at("content"), "c");
  EXPECT_EQ(messages_to_ask(conversation(R"([{"role":"user","content":"a"}])")).size(), 1U);
  EXPECT_EQ(messages_to_ask({.prompt = "p"}), one_message("p"));
}

TEST(Asking, ASystemMessageOfTheRecipeStandsInFront) {
  const OrderedJson alone = told_messages(one_message("p"), {.system = "R"});
  EXPECT_EQ(alone.at(0), OrderedJson::parse(R"({"role":"system","content":"R"})"));
  const OrderedJson both = told_messages(
      OrderedJson::parse(R"([{"role":"system","content":"S"},{"role":"user","content":"p"}])"),
      {.system = "R"});
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both.at(0).at("content"), "R\n\nS");
}

TEST(Asking, WhatATeacherIsToldStandsAroundWhatIsSaidLast) {
  const Telling telling{"R", "<{prompt}>"};
  const OrderedJson asked = told_messages(
      OrderedJson::parse(R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"},
          {"role":"user","content":[{"type":"text","text":"c"}]}])"),
      telling);
  ASSERT_EQ(asked.size(), 4U);
  EXPECT_EQ(asked.at(1).at("content"), "a");
  EXPECT_EQ(asked.at(3).at("content"),
            OrderedJson::parse(R"([{"type":"text","text":"<"},{"type":"text","text":"c"},
                                   {"type":"text","text":">"}])"));
  EXPECT_EQ(told_text("a", telling), "R\n\n<a>");
  // The row is still asked as it stands where nothing is told.
  EXPECT_EQ(told({.prompt = "a "}, {}, true), (Example{.prompt = "a "}));
  const Example pair = told({.prompt = "a ", .completion = " b"}, telling, true);
  EXPECT_EQ(pair.messages, OrderedJson::parse(R"([{"role":"system","content":"R"},
                {"role":"user","content":"<a>"},{"role":"assistant","content":"b"}])"));
  EXPECT_EQ(pair.prompt, "a ");
  const Example text = told(conversation(R"([{"role":"user","content":"a"}])"), telling, false);
  EXPECT_EQ(text.prompt, "R\n\n<a>");
  EXPECT_TRUE(text.messages.is_null());
}

TEST(Asking, LabelsAreToldWhereTheOwnerWantsThem) {
  const std::vector<std::string> labels = {"refund", "delivery"};
  EXPECT_EQ(with_labels_told({.system = "One of {labels}!"}, labels),
            (Telling{.system = "One of refund, delivery!"}));
  EXPECT_EQ(with_labels_told({.prompt_template = "{prompt} ({labels})"}, labels),
            (Telling{.prompt_template = "{prompt} (refund, delivery)"}));
  EXPECT_EQ(with_labels_told({.system = "Be kind."}, {}), (Telling{.system = "Be kind."}));
  const Telling both = with_labels_told({.system = "Be kind."}, labels);
  EXPECT_NE(told_text("Where is it?", both).find("refund\ndelivery"), std::string::npos);
  EXPECT_NE(told_text("Where is it?", both).find("Be kind."), std::string::npos);
}

TEST(Asking, ToolCallsAreAsTheApiHasThem) {
  const OrderedJson asked = api_messages(OrderedJson::parse(
      R"([{"role":"user","content":"p"},
              {"role":"assistant","content":null,"tool_calls":[
                {"type":"function","function":{"name":"f","arguments":{"x":1.50}}},
                {"id":"own","type":"function","function":{"name":"g","arguments":"{}"}}]},
              {"role":"tool","content":"1"},{"role":"tool","tool_call_id":"own","content":"2"}])"));
  const OrderedJson& calls = asked.at(1).at("tool_calls");
  EXPECT_TRUE(calls.at(0).at("function").at("arguments").is_string());
  EXPECT_EQ(calls.at(1).at("id"), "own");
  EXPECT_EQ(asked.at(2).at("tool_call_id"), calls.at(0).at("id"));
  EXPECT_EQ(asked.at(3).at("tool_call_id"), "own");
}

TEST(Asking, WithoutATemplateAConversationOfSeveralTurnsIsNotAsked) {
  const Example several = conversation(
      R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"},
          {"role":"user","content":"c"}])");
  const AskedThrough bare{false, false}, chat{true, false}, ours{false, true};
  EXPECT_EQ(cannot_ask(several, bare), AnswerKind::kNoTemplate);
  EXPECT_EQ(cannot_ask(several, chat), std::nullopt);
  EXPECT_EQ(cannot_ask(several, ours), std::nullopt);
  const Example one = conversation(
      R"([{"role":"system","content":"S"},{"role":"user","content":"a"},
          {"role":"assistant","content":"b"}])");
  EXPECT_EQ(cannot_ask(one, bare), std::nullopt);
  EXPECT_EQ(cannot_ask(conversation(R"([{"role":"assistant","content":"b"}])"), chat),
            AnswerKind::kNoPrompt);
  EXPECT_EQ(cannot_ask({.prompt = ""}, chat), AnswerKind::kNoPrompt);
  EXPECT_EQ(cannot_ask({.prompt = ""}, bare), std::nullopt);  // a text may begin from nothing
}

}  // namespace
}  // namespace alambic
