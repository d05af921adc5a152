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

std::string with(const std::string& field) {
  return R"({"prompt":"p","messages":[{"role":"user","content":"c"}],)" + field + "}";
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
    EXPECT_EQ(refused_for(with(field), true), param) << field;
    EXPECT_EQ(refused_for(with(field), false), param) << field;
  }
  EXPECT_EQ(refused_for(with(R"("top_logprobs":21,"logprobs":true)"), true), "top_logprobs");
  EXPECT_EQ(refused_for(with(R"("top_logprobs":2)"), true), "top_logprobs");
  EXPECT_EQ(refused_for(with(R"("logprobs":21)"), false), "logprobs");
}

TEST(ApiRequest, WhatIsKnownAndNotDoneIsRefusedUnlessItAsksForNothing) {
  for (const char* field :
       {R"("presence_penalty":0.5)", R"("logit_bias":{"5":1})", R"("min_p":0.1)",
        R"("tools":[{"type":"function"}])", R"("response_format":{"type":"json_object"})"}) {
    EXPECT_NE(refused_for(with(field), true), "") << field;
  }
  for (const char* field :
       {R"("presence_penalty":0)", R"("frequency_penalty":0.0)", R"("logit_bias":{})",
        R"("tools":[])", R"("tool_choice":"none")", R"("response_format":{"type":"text"})",
        R"("user":"me")", R"("nobody_knows_this":[1])"}) {
    EXPECT_EQ(refused_for(with(field), true), "") << field;
  }
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
