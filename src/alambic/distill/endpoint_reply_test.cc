#include "alambic/distill/endpoint_reply.h"

#include <gtest/gtest.h>

#include <cmath>

namespace alambic {
namespace {

constexpr auto kChat = EndpointApi::kChat;
constexpr auto kCompletions = EndpointApi::kCompletions;

std::string message(EndpointApi api, const std::string& body) {
  try {
    parse_endpoint_reply(api, body, "host");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruptData);
    return error.what();
  }
  return "";
}

TEST(EndpointReply, AChatAnswerWithTokens) {
  const EndpointReply reply = parse_endpoint_reply(
      kChat,
      R"({"model":"m","system_fingerprint":"fp","choices":[{"message":{"content":"hé"},
      "finish_reason":"stop","logprobs":{"content":[
        {"token":"h","logprob":-0.5,"bytes":[104],"top_logprobs":[
          {"token":"h","logprob":-0.5,"bytes":[104]},{"token":"x","logprob":-2}]},
        {"token":"\\xc3","logprob":-1,"bytes":[195]},{"token":"�","logprob":-1,"bytes":null}]}}],
      "usage":{"prompt_tokens":4,"completion_tokens":3}})",
      "host");
  EXPECT_EQ(reply.text, "hé");
  EXPECT_EQ(reply.finish, "stop");
  EXPECT_EQ(reply.fingerprint, "fp");
  EXPECT_EQ(reply.prompt_tokens, 4);
  ASSERT_EQ(reply.tokens.size(), 3U);
  EXPECT_EQ(reply.tokens[0].top[1].bytes, "x");
  EXPECT_EQ(reply.tokens[1].chosen.bytes, "\xC3");
  EXPECT_TRUE(reply.tokens[1].chosen.known);
  EXPECT_FALSE(reply.tokens[2].chosen.known);
}

TEST(EndpointReply, ALegacyAnswerWithSpelledBytes) {
  const EndpointReply reply = parse_endpoint_reply(
      kCompletions,
      R"({"choices":[{"text":"aé","logprobs":{"tokens":["a","bytes:\\xc3","bytes:\\xA9"],
      "token_logprobs":[null,-1,-2],"top_logprobs":[null,{"bytes:\\xc3":-1,"b":-0.5},null]}}]})",
      "host");
  ASSERT_EQ(reply.tokens.size(), 3U);
  EXPECT_TRUE(std::isnan(reply.tokens[0].chosen.log_probability));
  EXPECT_EQ(reply.tokens[1].chosen.bytes + reply.tokens[2].chosen.bytes, "\xC3\xA9");
  EXPECT_EQ(reply.tokens[1].top[0].bytes, "b");  // the most probable one first
}

TEST(EndpointReply, ReasoningIsFoundWhereverItStands) {
  const auto parse = [](const std::string& message) {
    return parse_endpoint_reply(kChat, R"({"choices":[{"message":)" + message + "}]}", "host");
  };
  for (const char* message :
       {R"({"content":"4","reasoning_content":"2+2"})", R"({"content":"4","reasoning":"2+2"})",
        R"({"content":"<think>\n2+2\n</think>\n\n4"})", R"({"content":"2+2</think>4"})"}) {
    const EndpointReply reply = parse(message);
    EXPECT_EQ(reply.text, "4") << message;
    EXPECT_EQ(reply.reasoning, "2+2") << message;
  }
  EXPECT_EQ(parse(R"({"content":null})").text, "");
}

TEST(EndpointReply, AnswersOfNoUseAreToldApart) {
  const auto kind = [](const std::string& choice, int max_tokens = 0) {
    return parse_endpoint_reply(kChat,
                                R"({"usage":{"completion_tokens":8},"choices":[)" + choice + "]}",
                                "host", max_tokens)
        .kind;
  };
  EXPECT_EQ(kind(R"({"message":{"content":"x"},"finish_reason":"stop"})"), AnswerKind::kGood);
  EXPECT_EQ(kind(R"({"message":{"content":"x"},"finish_reason":null})"), AnswerKind::kGood);
  EXPECT_EQ(kind(R"({"message":{"content":"x"}})", 8), AnswerKind::kCut);
  EXPECT_EQ(kind(R"({"message":{"content":"x"},"finish_reason":"stop"})", 8), AnswerKind::kGood);
  for (const char* empty :
       {"", R"({"message":null})", R"({"message":{}})", R"({"message":{"content":null}})",
        R"({"message":{"content":" \n"},"finish_reason":"stop"})",
        R"({"message":{"content":[]},"finish_reason":"stop"})"}) {
    EXPECT_EQ(kind(empty), AnswerKind::kEmpty) << empty;
  }
  for (const char* reason : {"length", "max_tokens", "MAX_TOKENS", "model_length"}) {
    EXPECT_EQ(kind(fmt::format(R"({{"message":{{"content":"x"}},"finish_reason":"{}"}})", reason)),
              AnswerKind::kCut)
        << reason;
  }
  EXPECT_EQ(kind(R"({"message":{"content":""},"finish_reason":"length"})"), AnswerKind::kCut);
  EXPECT_EQ(kind(R"({"message":{"content":"x"},"finish_reason":"content_filter"})"),
            AnswerKind::kFiltered);
  EXPECT_EQ(kind(R"({"message":{"content":null,"refusal":"I cannot"},"finish_reason":"stop"})"),
            AnswerKind::kFiltered);
  EXPECT_EQ(kind(R"({"message":{"content":"x","tool_calls":[{"id":"1"}]}})"),
            AnswerKind::kToolCalls);
  EXPECT_EQ(kind(R"({"message":{"content":"x","tool_calls":[]}})"), AnswerKind::kGood);
  EXPECT_EQ(kind(R"({"message":{"content":"","reasoning_content":"hm"},"finish_reason":"stop"})"),
            AnswerKind::kReasoning);
  EXPECT_EQ(kind(R"({"message":{"content":"<think> hm"},"finish_reason":"length"})"),
            AnswerKind::kReasoning);
}

TEST(EndpointReply, ContentMayComeInParts) {
  const EndpointReply reply = parse_endpoint_reply(kChat,
                                                   R"({"choices":[{"message":{"content":[
      {"type":"thinking","thinking":[{"type":"text","text":"hm"}]},
      {"type":"text","text":"fo"},"ur"]},"finish_reason":"stop"}]})",
                                                   "host");
  EXPECT_EQ(reply.text, "four");
  EXPECT_EQ(reply.reasoning, "hm");
  EXPECT_EQ(reply.kind, AnswerKind::kGood);
}

TEST(EndpointReply, APromptThatIsScoredApartKeepsTheOrderOfItsTokens) {
  const EndpointReply reply =
      parse_endpoint_reply(kCompletions,
                           R"({"choices":[{"text":" x","prompt_logprobs":[null,
        {"9":{"logprob":-3,"rank":7,"decoded_token":"lo"},
         "2":{"logprob":-0.5,"rank":1,"decoded_token":"la"}},
        {"4":{"logprob":-1,"decoded_token":"�"}}]}]})",
                           "host");
  ASSERT_EQ(reply.given.size(), 2U);
  EXPECT_EQ(reply.given[0].chosen.bytes, "lo");
  EXPECT_EQ(reply.given[0].chosen.log_probability, -3);
  ASSERT_EQ(reply.given[0].top.size(), 2U);
  EXPECT_EQ(reply.given[0].top[1].bytes, "la");
  EXPECT_FALSE(reply.given[1].chosen.known);
  EXPECT_TRUE(reply.tokens.empty());
}

TEST(EndpointReply, WhatIsNoAnswerIsOneClearLine) {
  EXPECT_NE(message(kChat, "<html>\n<body>").find("HTML"), std::string::npos);
  EXPECT_EQ(message(kChat, "<html>\n<body>").find('\n'), std::string::npos);
  EXPECT_NE(message(kChat, "").find("nothing"), std::string::npos);
  for (
      const char* body :
      {"[]", "7", "{}", R"({"choices":{}})", R"({"choices":[5]})",
       R"({"choices":[{"message":"hi"}]})", R"({"choices":[{"message":{"content":[1]}}]})",
       R"({"choices":[{"message":{"content":"x"},"logprobs":{"content":[{}]}}]})",
       R"({"choices":[{"message":{"content":"x"},"logprobs":{"content":[{"logprob":"a"}]}}]})",
       R"({"choices":[{"message":{"content":"x"},"logprobs":{"content":[{"logprob":0,"bytes":[256]}]}}]})",
       R"({"choices":[{"message":{"conte)"}) {
    EXPECT_TRUE(message(kChat, body).starts_with("[host] ")) << body;
  }
  for (
      const char* body :
      {R"({"choices":[{"text":7}]})", R"({"choices":[{"text":"a","logprobs":{"tokens":"a"}}]})",
       R"({"choices":[{"text":"a","logprobs":{"tokens":["a"],"token_logprobs":[]}}]})",
       R"({"choices":[{"text":"a","logprobs":{"tokens":["a"],"token_logprobs":[0],"top_logprobs":[7]}}]})",
       R"({"choices":[{"text":"a","prompt_logprobs":[7]}]})",
       R"({"choices":[{"text":"a","prompt_logprobs":[{}]}]})",
       R"({"choices":[{"text":"a","prompt_logprobs":[{"1":{"decoded_token":"a"}}]}]})",
       R"({"choices":[{"text":"a","prompt_logprobs":[{"1":{"logprob":"a"}}]}]})",
       R"({"choices":[{"text":"a","prompt_logprobs":[{"1":7}]}]})"}) {
    EXPECT_TRUE(message(kCompletions, body).starts_with("[host] ")) << body;
  }
}

TEST(EndpointReply, FaultsAreReadInEveryForm) {
  EXPECT_EQ(parse_endpoint_fault(R"({"error":{"message":"no","param":"n","code":"c"}})").param,
            "n");
  EXPECT_EQ(parse_endpoint_fault(R"({"error":"busy"})").message, "busy");
  EXPECT_EQ(parse_endpoint_fault(R"({"detail":"gone"})").message, "gone");
  EXPECT_EQ(parse_endpoint_fault("").message, "(no explanation)");
  EXPECT_EQ(parse_endpoint_fault("<html>\r\n502").message, "<html>  502");
  EXPECT_LT(parse_endpoint_fault(std::string(100000, 'x')).message.size(), 300U);
}

TEST(EndpointReply, ModelNames) {
  EXPECT_EQ(parse_model_names(R"({"data":[{"id":"a"},{"id":7},{"id":"b"}]})", "host"),
            (std::vector<std::string>{"a", "b"}));
}

}  // namespace
}  // namespace alambic
