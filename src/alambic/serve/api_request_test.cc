#include "alambic/serve/api_request.h"

#include <gtest/gtest.h>

#include "alambic/serve/api_error.h"

namespace alambic {
namespace {

// The field that a body is refused for; "" where it is accepted.
std::string refused_for(const std::string& body, bool chat) {
  try {
    if (chat) {
      parse_chat_request(body);
    } else {
      parse_completion_request(body);
    }
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status(), 400) << body;
    const auto param = error.body().at("error").at("param");
    return param.is_null() ? "body" : param.get<std::string>();
  }
  return "";
}

// The field that a body with this field is refused for.
std::string refused_with(const std::string& field, bool chat) {
  const char* text = chat ? R"({"messages":[{"role":"user","content":"c"}],)" : R"({"prompt":"p",)";
  return refused_for(text + field + "}", chat);
}

TEST(ApiRequest, DefaultsAreThoseOfTheApi) {
  const CompletionRequest completion = parse_completion_request(R"({"prompt":"p","seed":null})");
  EXPECT_EQ(completion.sampling.max_tokens, 16);
  EXPECT_EQ(completion.sampling.temperature, 1);
  EXPECT_FALSE(completion.sampling.seed.has_value());
  const ChatRequest chat =
      parse_chat_request(R"({"messages":[{"role":"developer","content":"c"}]})");
  EXPECT_FALSE(chat.sampling.max_tokens.has_value());
  EXPECT_EQ(chat.messages[0]["role"], "system");
}

TEST(ApiRequest, PromptsComeInFourForms) {
  EXPECT_EQ(parse_completion_request(R"({"prompt":["a","b"]})").prompts.size(), 2U);
  EXPECT_EQ(parse_completion_request(R"({"prompt":[1,2,3]})").prompts.size(), 1U);
  EXPECT_EQ(parse_completion_request(R"({"prompt":[[1,2],[3]]})").prompts.size(), 2U);
}

TEST(ApiRequest, PartsOfTextAreJoined) {
  const ChatRequest chat = parse_chat_request(
      R"({"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]})");
  EXPECT_EQ(chat.messages[0]["content"], "ab");
}

TEST(ApiRequest, NumbersOutsideTheirRangeAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("temperature":-1)", "temperature"},
      {R"("temperature":2.5)", "temperature"},
      {R"("temperature":"hot")", "temperature"},
      {R"("top_p":0)", "top_p"},
      {R"("n":0)", "n"},
      {R"("n":9)", "n"},
      {R"("n":1.5)", "n"},
      {R"("seed":18446744073709551615)", "seed"},
      {R"("max_tokens":-1)", "max_tokens"},
      {R"("max_tokens":99999999999)", "max_tokens"},
      {R"("stream":1)", "stream"},
      {R"("stop":["a","b","c","d","e"])", "stop"},
      {R"("stop":"")", "stop"},
      {R"("stop":[1])", "stop"},
      {R"("stream_options":{"include_usage":true})", "stream_options"},
      {R"("model":7)", "model"}};
  for (const auto& [field, param] : cases) {
    EXPECT_EQ(refused_with(field, true), param) << field;
    EXPECT_EQ(refused_with(field, false), param) << field;
  }
  EXPECT_EQ(refused_with(R"("top_logprobs":21,"logprobs":true)", true), "top_logprobs");
  EXPECT_EQ(refused_with(R"("top_logprobs":2)", true), "top_logprobs");
  EXPECT_EQ(refused_with(R"("logprobs":21)", false), "logprobs");
}

TEST(ApiRequest, WhatIsKnownAndNotDoneIsRefusedUnlessItAsksForNothing) {
  for (const char* field :
       {R"("presence_penalty":0.5)", R"("logit_bias":{"5":1})", R"("min_p":0.1)",
        R"("tools":[{"type":"function"}])", R"("response_format":{"type":"json_object"})"}) {
    EXPECT_NE(refused_with(field, true), "") << field;
  }
  for (const char* field :
       {R"("presence_penalty":0)", R"("frequency_penalty":0.00)", R"("logit_bias":{})",
        R"("tools":[])", R"("tool_choice":"none")", R"("response_format":{"type":"text"})",
        R"("user":"me")", R"("grammar":"")", R"("nobody_knows_this":null)"}) {
    EXPECT_EQ(refused_with(field, true), "") << field;
  }
}

// Other servers' names for "only such a text will do", and for other ways to write.
TEST(ApiRequest, AConstraintIsNeverIgnored) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("response_format":{})", "response_format"},
      {R"("response_format":{"type":"json_schema","json_schema":{}})", "response_format"},
      {R"("json_schema":{})", "json_schema"},
      {R"("structured_outputs":{"choice":["a"]})", "structured_outputs"},
      {R"("guided_json":{})", "guided_json"},
      {R"("grammar":"root ::= \"a\"")", "grammar"},
      {R"("regex":"[a-z]")", "regex"},
      {R"("format":"json")", "format"},
      {R"("bad_words":["a"])", "bad_words"},
      {R"("repeat_penalty":1.3)", "repeat_penalty"},
      {R"("mirostat":2)", "mirostat"},
      {R"("ignore_eos":true)", "ignore_eos"},
      {R"("stop_token_ids":[3])", "stop_token_ids"},
      {R"("max_words":3)", "max_words"},
      {R"("stream":true,"stream_options":{"every":2})", "stream_options.every"}};
  for (const auto& [field, param] : cases) {
    EXPECT_EQ(refused_with(field, true), param) << field;
    EXPECT_EQ(refused_with(field, false).empty(), false) << field;
  }
  for (const auto& [field, param] :
       {std::pair{R"("continue_final_message":true)", "continue_final_message"},
        {R"("add_generation_prompt":false)", "add_generation_prompt"},
        {R"("tool_choice":"required")", "tool_choice"},
        {R"("chat_template":"x")", "chat_template"}}) {
    EXPECT_EQ(refused_with(field, true), param) << field;
  }
}

TEST(ApiRequest, WholeNumbersMayBeWrittenWithAPoint) {
  const CompletionRequest request = parse_completion_request(
      R"({"prompt":[1.0,2],"temperature":1.50,"top_p":1e0,"max_tokens":1e3,"seed":7.0,"n":2.0,"top_k":-1.0})");
  EXPECT_EQ(request.sampling.max_tokens, 1000);
  EXPECT_EQ(request.sampling.seed, 7U);
  EXPECT_EQ(request.sampling.temperature, 1.5);
  EXPECT_EQ(request.sampling.choices, 2);
  EXPECT_EQ(std::get<std::vector<TokenId>>(request.prompts[0]), (std::vector<TokenId>{1, 2}));
  EXPECT_EQ(refused_with(R"("max_tokens":1000.5)", true), "max_tokens");
  EXPECT_EQ(refused_with(R"("seed":1e300)", true), "seed");
  EXPECT_EQ(refused_with(R"("seed":-9223372036854775808)", true), "");
  EXPECT_EQ(refused_with(R"("seed":-9223372036854775809)", true), "seed");
}

TEST(ApiRequest, AnAssistantMayHaveSaidNothing) {
  for (const char* silent : {R"({"role":"assistant","content":null})", R"({"role":"assistant"})"}) {
    const ChatRequest chat = parse_chat_request(
        std::string(R"({"messages":[{"role":"user","content":"a"},)") + silent + "]}");
    EXPECT_EQ(chat.messages[1]["content"], "") << silent;
  }
  EXPECT_EQ(refused_for(R"({"messages":[{"role":"user","content":null}]})", true),
            "messages[0].content");
}

TEST(ApiRequest, NoCallsOfToolsAreNoneAtAll) {
  const ChatRequest chat = parse_chat_request(R"({"messages":[{"role":"user","content":"a"},
      {"role":"assistant","content":"b","tool_calls":[]},
      {"role":"user","content":"c","tool_calls":[]}]})");
  for (const OrderedJson& message : chat.messages) EXPECT_FALSE(message.contains("tool_calls"));
  EXPECT_EQ(refused_for(R"({"messages":[{"role":"assistant","content":"b","tool_calls":[]},
      {"role":"tool","content":"3"}]})",
                        true),
            "messages[1].role");
}

TEST(ApiRequest, NoMostProbableTokensNeedNoLogProbabilities) {
  EXPECT_EQ(refused_with(R"("top_logprobs":0)", true), "");
  EXPECT_EQ(refused_with(R"("logprobs":false,"top_logprobs":0)", true), "");
  EXPECT_EQ(refused_with(R"("top_logprobs":1)", true), "top_logprobs");
}

TEST(ApiRequest, CallsOfToolsAndTheirAnswersAreForTheTemplate) {
  const ChatRequest chat = parse_chat_request(R"({"messages":[{"role":"user","content":"a"},
      {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",
       "function":{"name":"f","arguments":"{\"b\":1,\"a\":2}"}}]},
      {"role":"tool","tool_call_id":"1","content":"3"}]})");
  EXPECT_EQ(dump_json(chat.messages[1]["tool_calls"][0]["function"]["arguments"]),
            R"({"b":1,"a":2})");
  EXPECT_EQ(chat.messages[2]["tool_call_id"], "1");
  EXPECT_EQ(refused_for(R"({"messages":[{"role":"user","content":"a"},
      {"role":"tool","content":"3"}]})",
                        true),
            "messages[1].role");
  EXPECT_EQ(refused_for(R"({"messages":[{"role":"user","content":"a"},
      {"role":"assistant","tool_calls":[{"id":"1"}]}]})",
                        true),
            "messages[1].tool_calls");
}

TEST(ApiRequest, VariablesCannotStandInForTheConversation) {
  for (const char* key : {"messages", "tools", "add_generation_prompt", "bos_token"}) {
    EXPECT_EQ(refused_with(fmt::format(R"("chat_template_kwargs":{{"{}":[]}})", key), true),
              fmt::format("chat_template_kwargs.{}", key));
  }
  EXPECT_EQ(refused_with(R"("chat_template_kwargs":{"enable_thinking":false})", true), "");
}

TEST(ApiRequest, AKeyThatStandsTwiceIsRefused) {
  EXPECT_EQ(refused_with(R"("n":1,"n":2)", true), "body");
}

TEST(ApiRequest, MessagesAreChecked) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "messages"},
      {"\"hi\"", "messages"},
      {"[7]", "messages[0]"},
      {R"([{"role":"tool","content":"x"}])", "messages[0].role"},
      {R"([{"content":"x"}])", "messages[0].role"},
      {R"([{"role":"user"}])", "messages[0].content"},
      {R"([{"role":"user","content":[{"type":"image_url","image_url":{}}]}])",
       "messages[0].content"}};
  for (const auto& [messages, param] : cases) {
    EXPECT_EQ(refused_for(std::string(R"({"messages":)") + messages + "}", true), param);
  }
}

TEST(ApiRequest, WhatIsNoJsonObjectIsRefused) {
  for (const char* body : {"", "[]", "{", "nonsense", R"({"prompt":"\xff"})", R"({"a":1e999})"}) {
    EXPECT_EQ(refused_for(body, true), "body") << body;
  }
  EXPECT_EQ(refused_for(std::string(100000, '['), false), "body");
}

}  // namespace
}  // namespace alambic
