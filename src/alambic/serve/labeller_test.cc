#include "alambic/serve/labeller.h"

#include <gtest/gtest.h>

#include <cmath>

#include "alambic/base/json.h"
#include "alambic/serve/service.h"

namespace alambic {
namespace {

// Long texts are complaints.
Service labels_only() {
  ServedClassifier classifier;
  classifier.name = "small";
  classifier.labels = {"complaint", "question"};
  classifier.log_probabilities = [](std::string_view text) {
    const double complaint = text.size() > 20 ? 0.75 : 0.25;
    return std::vector<double>{std::log(complaint), std::log(1 - complaint)};
  };
  classifier.longest_text = 100;
  return Service(std::make_unique<Labeller>(std::move(classifier)), "");
}

HttpReply reply_to(const std::string& path, const Json& body) {
  const HttpRequest request{.method = "POST",
                            .target = path,
                            .host = "localhost:8080",
                            .content_type = "application/json",
                            .body = dump_json(body)};
  return std::get<HttpReply>(labels_only().handle(request));
}

Json asked(const std::string& path, const Json& body) {
  return Json::parse(reply_to(path, body).body);
}

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kCompletions = "/v1/completions";

TEST(Labeller, ClassifiesTheLastTurnOfTheUser) {
  const Json body = asked(
      kChat, {{"messages",
               {{{"role", "system"}, {"content", "You are a classifier with a long instruction."}},
                {{"role", "user"}, {"content", "Hello, my kettle leaks all over the floor."}},
                {{"role", "assistant"}, {"content", "complaint"}},
                {{"role", "user"}, {"content", "When do you open?"}}}}});
  const Json& choice = body.at("choices").at(0);
  EXPECT_EQ(choice.at("message").at("content"), "question");
  EXPECT_EQ(choice.at("finish_reason"), "stop");
  EXPECT_EQ(body.at("model"), "small");
  EXPECT_EQ(body.at("usage").at("prompt_tokens"), 4);
  EXPECT_EQ(body.at("usage").at("completion_tokens"), 1);
}

TEST(Labeller, GivesEveryPromptItsLabelAndLogProbabilities) {
  const Json body =
      asked(kCompletions,
            {{"prompt", {"Open?", "My kettle leaks all over the floor."}}, {"logprobs", 2}});
  ASSERT_EQ(body.at("choices").size(), 2U);
  EXPECT_EQ(body.at("choices").at(0).at("text"), "question");
  EXPECT_EQ(body.at("choices").at(1).at("text"), "complaint");
  const Json& logs = body.at("choices").at(1).at("logprobs");
  EXPECT_EQ(logs.at("tokens"), Json({"complaint"}));
  EXPECT_NEAR(logs.at("token_logprobs").at(0).get<double>(), std::log(0.75), 1e-9);
  EXPECT_NEAR(logs.at("top_logprobs").at(0).at("question").get<double>(), std::log(0.25), 1e-9);
  EXPECT_EQ(body.at("usage").at("total_tokens"), 10);
}

TEST(Labeller, StreamsTheSameAsEvents) {
  const HttpReply reply = reply_to(kChat, {{"messages", {{{"role", "user"}, {"content", "Open?"}}}},
                                           {"stream", true},
                                           {"stream_options", {{"include_usage", true}}}});
  EXPECT_EQ(reply.content_type, kSseType);
  EXPECT_NE(reply.body.find(R"("delta":{"role":"assistant","content":""})"), std::string::npos);
  EXPECT_NE(reply.body.find(R"("delta":{"content":"question"})"), std::string::npos);
  EXPECT_NE(reply.body.find(R"("finish_reason":"stop")"), std::string::npos);
  EXPECT_NE(reply.body.find(R"("usage":{"prompt_tokens":1)"), std::string::npos);
  EXPECT_TRUE(reply.body.ends_with(kSseDone));
}

TEST(Labeller, EndsAtAStopString) {
  EXPECT_EQ(
      asked(kCompletions, {{"prompt", "Open?"}, {"stop", "tion"}}).at("choices").at(0).at("text"),
      "ques");
}

TEST(Labeller, RefusesWhatItCannotHonour) {
  const auto refused = [](const char* path, const Json& body) {
    const HttpReply reply = reply_to(path, body);
    return reply.status == 400 ? Json::parse(reply.body).at("error").value("param", Json())
                               : Json();
  };
  const Json chat = {{{"role", "user"}, {"content", "Open?"}}};
  EXPECT_EQ(refused(kCompletions, {{"prompt", {1, 2}}}), "prompt");
  EXPECT_EQ(refused(kCompletions, {{"prompt", "a"}, {"echo", true}}), "echo");
  EXPECT_EQ(refused(kCompletions, {{"prompt", "a"}, {"max_tokens", 0}}), "max_tokens");
  EXPECT_EQ(refused(kChat, {{"messages", chat}, {"quality", 0.5}}), "quality");
  EXPECT_EQ(refused(kChat, {{"messages", chat}, {"chat_template_kwargs", {{"a", 1}}}}),
            "chat_template_kwargs");
  EXPECT_EQ(refused(kChat, {{"messages", {{{"role", "system"}, {"content", "a"}}}}}), "messages");
  const HttpReply reply = reply_to(kCompletions, {{"prompt", std::string(101, 'a')}});
  EXPECT_EQ(reply.status, 400);
  EXPECT_NE(reply.body.find("context_length_exceeded"), std::string::npos);
  EXPECT_EQ(reply_to(kCompletions, {{"prompt", "a"}, {"model", "other"}}).status, 404);
}

TEST(Labeller, IsInTheListOfModels) {
  const HttpRequest request{.method = "GET", .target = "/v1/models", .host = "localhost"};
  const Json body = Json::parse(std::get<HttpReply>(labels_only().handle(request)).body);
  EXPECT_EQ(body.at("data").at(0).at("id"), "small");
  EXPECT_EQ(body.at("data").at(0).at("meta").at("n_labels"), 2);
}

}  // namespace
}  // namespace alambic
