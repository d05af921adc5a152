#include "alambic/distill/endpoint_protocol.h"

#include <gtest/gtest.h>

#include "alambic/distill/asking.h"

namespace alambic {
namespace {

EndpointOptions usable() {
  EndpointOptions options;
  options.url = "http://localhost/v1/";
  return options;
}

EndpointQuestion question(const char* prompt, int top) {
  return {
      .messages = one_message(prompt), .prompt = prompt, .seed = 7, .max_tokens = 20, .top = top};
}

HttpAnswer answer(int status, std::string body) {
  HttpAnswer a;
  a.status = status;
  a.body = std::move(body);
  return a;
}

Outcome outcome(const HttpAnswer& a) { return judge(EndpointApi::kChat, a, "host").outcome; }

TEST(EndpointProtocol, AChatIsAskedInTheWordsOfTheApi) {
  EndpointOptions options = usable();
  options.telling = {.system = "Be brief.", .prompt_template = "Q: {prompt}"};
  options.text_temperature = 0.5;
  EndpointProfile profile;
  profile.model = "m";
  const HttpCall call = text_call(options, profile, question("Hi", 5));
  EXPECT_EQ(call.url, "http://localhost/v1/chat/completions");
  const Json body = Json::parse(call.body);
  EXPECT_EQ(body["messages"].size(), 2U);
  EXPECT_EQ(body["messages"][1]["content"], "Q: Hi");
  EXPECT_EQ(body["max_tokens"], 20);
  EXPECT_EQ(body["top_logprobs"], 5);
  EXPECT_EQ(body["temperature"], 0.5);
  EXPECT_EQ(body["seed"], 7);
}

TEST(EndpointProtocol, WhatAnEndpointDoesNotTakeIsLeftOut) {
  EndpointProfile profile;
  profile.newer_limit = true;
  profile.takes_seed = profile.takes_temperature = false;
  const Json body = Json::parse(text_call(usable(), profile, question("Hi", 0)).body);
  EXPECT_EQ(body["max_completion_tokens"], 20);
  for (const char* key : {"max_tokens", "seed", "temperature", "logprobs", "top_logprobs"}) {
    EXPECT_FALSE(body.contains(key)) << key;
  }
}

TEST(EndpointProtocol, StatusesMeanWhatOneCanDoAboutThem) {
  const std::string good = R"({"choices":[{"message":{"content":"x"}}]})";
  EXPECT_EQ(outcome(answer(200, good)), Outcome::kGood);
  for (const int status : {408, 429, 500, 502, 503, 504, 529}) {
    EXPECT_EQ(outcome(answer(status, "")), Outcome::kRetry) << status;
  }
  for (const int status : {400, 413, 422}) {
    EXPECT_EQ(outcome(answer(status, "")), Outcome::kRefused) << status;
  }
  for (const int status : {301, 401, 402, 403, 404, 501}) {
    EXPECT_EQ(outcome(answer(status, "")), Outcome::kHopeless) << status;
  }
  EXPECT_EQ(outcome(answer(429, R"({"error":{"message":"m","code":"insufficient_quota"}})")),
            Outcome::kHopeless);
  EXPECT_EQ(outcome(answer(200, "<html>")), Outcome::kRetry);
  EXPECT_EQ(outcome(answer(200, good.substr(0, 20))), Outcome::kRetry);
  HttpAnswer cut = answer(200, good);
  cut.failure = "cut";
  EXPECT_EQ(outcome(cut), Outcome::kRetry);
  cut.hopeless = true;
  EXPECT_EQ(outcome(cut), Outcome::kHopeless);
}

TEST(EndpointProtocol, AnErrorWithinAGoodStatusIsAnError) {
  const auto said = [](const char* body) { return outcome(answer(200, body)); };
  EXPECT_EQ(said(R"({"error":{"message":"slow down","code":429}})"), Outcome::kRetry);
  EXPECT_EQ(said(R"({"error":{"message":"no such model","code":404}})"), Outcome::kHopeless);
  EXPECT_EQ(said(R"({"error":{"message":"too long","code":400}})"), Outcome::kRefused);
  EXPECT_EQ(said(R"({"error":"busy"})"), Outcome::kRetry);
  EXPECT_EQ(said(R"({"choices":[{"error":{"message":"down","code":502}}]})"), Outcome::kRetry);
  EXPECT_EQ(said(R"({"choices":[{"message":{"content":"x"}}],"error":null})"), Outcome::kGood);
}

TEST(EndpointProtocol, AServerThatOnlyStreamsIsNamed) {
  const Verdict verdict =
      judge(EndpointApi::kChat, answer(200, "data: {\"choices\":[]}\n\ndata: [DONE]\n"), "host");
  EXPECT_EQ(verdict.outcome, Outcome::kHopeless);
  EXPECT_NE(verdict.reason.find("stream of events"), std::string::npos);
}

TEST(EndpointProtocol, PausesGrowAndRespectTheServer) {
  const EndpointOptions options = usable();
  Rng rng(1);
  double before = 0;
  for (int attempt = 1; attempt <= 4; ++attempt) {
    const double step = options.backoff_seconds * (1 << (attempt - 1));
    const double delay = retry_delay(options, attempt, 0, rng);
    EXPECT_GE(delay, step / 2);
    EXPECT_LE(delay, step);
    EXPECT_GE(delay, before / 2);
    before = delay;
  }
  EXPECT_LE(retry_delay(options, 60, 0, rng), 30);
  EXPECT_EQ(retry_delay(options, 1, 42, rng), 42);
  EXPECT_LE(retry_delay(options, 1, 1e9, rng), 900);
}

TEST(EndpointProtocol, OptionsThatCannotBeCarriedOutAreNamed) {
  const auto refused = [](const auto& change) {
    EndpointOptions options = usable();
    change(options);
    try {
      validate_endpoint_options(options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(refused([](EndpointOptions&) {}), "");
  const auto url = [&](const char* text) {
    return refused([&](EndpointOptions& o) { o.url = text; });
  };
  for (const char* text : {"", "host/v1", "file:///etc/passwd", "http://me:key@host/v1",
                           "http://host/v1?key=1", "http://host/ v1"}) {
    EXPECT_NE(url(text), "") << text;
  }
  EXPECT_EQ(url("http://me:hush@host/v1").find("hush"), std::string::npos);
  EXPECT_NE(refused([](EndpointOptions& o) { o.key = "a\r\nX: y"; }), "");
  EXPECT_EQ(refused([](EndpointOptions& o) { o.key = "a\r\nhush"; }).find("hush"),
            std::string::npos);
  EXPECT_NE(refused([](EndpointOptions& o) { o.concurrency = 0; }), "");
  EXPECT_NE(refused([](EndpointOptions& o) { o.max_cost = 5; }), "");
  EXPECT_NE(refused([](EndpointOptions& o) { o.kind = SignalKind::kDraws; }), "");
}

}  // namespace
}  // namespace alambic
