#include "alambic/serve/http_server.h"

#include <gtest/gtest.h>

#include <boost/asio.hpp>
#include <cstring>
#include <thread>

#include "alambic/serve/test_service.h"

namespace alambic {
namespace {

using boost::asio::ip::tcp;

class HttpServerTest : public testing::Test {
 protected:
  ~HttpServerTest() override {
    server_.stop();
    thread_.join();
  }

  tcp::socket connect() {
    tcp::socket socket(context_);
    socket.connect({boost::asio::ip::make_address("127.0.0.1"), server_.port()});
    return socket;
  }
  static void send(tcp::socket& socket, const std::string& bytes) {
    boost::asio::write(socket, boost::asio::buffer(bytes));
  }
  // Everything until the server closes.
  static std::string receive(tcp::socket& socket) {
    std::string text;
    boost::system::error_code error;
    boost::asio::read(socket, boost::asio::dynamic_buffer(text), error);
    return text;
  }
  std::string talk(const std::string& bytes) {
    tcp::socket socket = connect();
    boost::system::error_code ignored;  // the server may have heard enough
    boost::asio::write(socket, boost::asio::buffer(bytes), ignored);
    return receive(socket);
  }
  static std::string request(const Json& body, const std::string& path = "/v1/completions") {
    const std::string text = dump_json(body);
    return fmt::format(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Connection: close\r\nContent-Length: {}\r\n\r\n{}",
        path, text.size(), text);
  }

  SmallServer small_;
  HttpServer server_{small_.service,
                     {.port = 0,
                      .request_seconds = 1,
                      .rest_seconds = 1,
                      .grace_seconds = 5,
                      .max_connections = 20}};
  boost::asio::io_context context_;
  std::thread thread_{[this] { server_.run(); }};
};

TEST_F(HttpServerTest, AnswersAndCloses) {
  const std::string answer =
      talk("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("{\"status\":\"ok\"}"));
}

TEST_F(HttpServerTest, ManyClientsAtOnceGetWhatEachWouldGetAlone) {
  constexpr int kClients = 8;
  const auto body = [](int i) {
    return Json{{"prompt", fmt::format("the {}", i)}, {"max_tokens", 30}, {"seed", i}};
  };
  const auto text_of = [](const std::string& answer) {
    return Json::parse(answer.substr(answer.find("\r\n\r\n") + 4))["choices"][0]["text"];
  };
  std::vector<std::string> alone, together(kClients);
  for (int i = 0; i < kClients; ++i) alone.push_back(talk(request(body(i))));
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&, i] { together[static_cast<size_t>(i)] = talk(request(body(i))); });
  }
  for (std::thread& client : clients) client.join();
  for (size_t i = 0; i < kClients; ++i) EXPECT_EQ(text_of(together[i]), text_of(alone[i]));
}

TEST_F(HttpServerTest, AStreamIsChunkedEvents) {
  const std::string answer =
      talk(request({{"prompt", "the"}, {"max_tokens", 5}, {"stream", true}}));
  EXPECT_NE(answer.find("Transfer-Encoding: chunked"), std::string::npos);
  EXPECT_NE(answer.find("Content-Type: text/event-stream; charset=utf-8\r\n"), std::string::npos);
  EXPECT_NE(answer.find("data: [DONE]\n\n\r\n0\r\n\r\n"), std::string::npos);
}

TEST_F(HttpServerTest, AClientThatLeavesMakesRoomForOthers) {
  // More than run at once, and each would write to the end of the context.
  std::vector<tcp::socket> sockets;
  for (int i = 0; i < 18; ++i) {
    sockets.push_back(connect());
    send(sockets.back(),
         request({{"prompt", "the"}, {"max_tokens", 250}, {"n", 2}, {"stream", i % 2 == 0}}));
  }
  sockets.clear();
  const std::string answer = talk(request({{"prompt", "the"}, {"max_tokens", 2}}));
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 503")) << answer;
}

TEST_F(HttpServerTest, HostileRequestsAreRefusedAndBounded) {
  const auto status = [&](const std::string& bytes) {
    const std::string answer = talk(bytes);
    return answer.size() > 12 ? answer.substr(9, 3) : "";
  };
  const std::string start = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n";
  const std::string json = "Content-Type: application/json\r\n";
  EXPECT_EQ(status("nonsense\r\n\r\n"), "400");
  EXPECT_EQ(status(start + "X: " + std::string(1 << 16, 'a') + "\r\n\r\n"), "431");
  EXPECT_EQ(status(start + json + "Content-Length: 99999999\r\n\r\n"), "413");
  EXPECT_EQ(status(start + json + "Content-Length: -2\r\n\r\n"), "400");
  EXPECT_EQ(status(start + json + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"),
            "400");
  std::string endless = start + json + "Transfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 40; ++i) endless += "10000\r\n" + std::string(0x10000, ' ') + "\r\n";
  EXPECT_EQ(status(endless), "413");
  EXPECT_EQ(status(start + json + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"), "415");
}

constexpr const char* kHealth = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

TEST_F(HttpServerTest, AConnectionBringsOneRequestAfterAnother) {
  const Json body{{"prompt", "the"}, {"max_tokens", 3}, {"stream", true}};
  std::string stream = request(body);
  const std::string closing = "Connection: close\r\n";
  stream.erase(stream.find(closing), closing.size());
  // All at once, the second one while the first one's answer is made.
  const std::string answers = talk(kHealth + stream + stream + kHealth + request(body));
  EXPECT_EQ(count(answers, "HTTP/1.1 200 OK"), 5U) << answers;
  EXPECT_EQ(count(answers, "data: [DONE]"), 3U);
  EXPECT_EQ(count(answers, "Connection: close"), 1U);
  const std::string old = talk(
      "GET /health HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"
      "GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(count(old, "HTTP/1.0 200 OK"), 2U) << old;
}

TEST_F(HttpServerTest, AClientThatWaitsForAWordGetsIt) {
  const Json body{{"prompt", "the"}, {"max_tokens", 3}};
  const std::string whole = request(body), text = dump_json(body);
  std::string head = whole.substr(0, whole.size() - text.size());
  head.insert(head.find("Host:"), "Expect: 100-Continue\r\n");
  tcp::socket socket = connect();
  send(socket, head);
  std::string word(25, ' ');
  boost::asio::read(socket, boost::asio::buffer(word));
  EXPECT_EQ(word, "HTTP/1.1 100 Continue\r\n\r\n");
  send(socket, text);
  EXPECT_TRUE(receive(socket).starts_with("HTTP/1.1 200 OK"));
  // Where the body would be in vain, it need not be sent.
  const auto refused = [&](const std::string& from, const std::string& to) {
    std::string other = head;
    other.replace(other.find(from), from.size(), to);
    return talk(other).substr(0, 12);
  };
  EXPECT_EQ(refused("Content-Length: ", "Content-Length: 99999"), "HTTP/1.1 413");
  EXPECT_EQ(refused("/v1/completions", "/v1/nowhere"), "HTTP/1.1 404");
  EXPECT_EQ(refused("application/json", "text/plain"), "HTTP/1.1 415");
  EXPECT_EQ(refused("100-Continue", "a miracle"), "HTTP/1.1 417");
}

TEST_F(HttpServerTest, ARefusedBodyIsReadToItsEnd) {
  constexpr size_t kBytes = 20 << 20;  // more than the sockets' buffers hold
  tcp::socket socket = connect();
  send(socket, fmt::format("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                           "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                           kBytes));
  send(socket, std::string(kBytes, ' '));  // throws where the server breaks off
  EXPECT_TRUE(receive(socket).starts_with("HTTP/1.1 413"));
}

TEST_F(HttpServerTest, AClientThatHasSaidAllStillGetsItsAnswer) {
  for (const bool stream : {false, true}) {
    for (const char* version : {"HTTP/1.1", "HTTP/1.0"}) {
      std::string asked = request(
          {{"prompt", "the"}, {"max_tokens", 100}, {"seed", 1}, {"n", 4}, {"stream", stream}});
      asked.replace(asked.find("HTTP/1.1"), 8, version);
      const std::string whole = talk(asked);
      tcp::socket socket = connect();
      send(socket, asked);
      socket.shutdown(tcp::socket::shutdown_send);
      const std::string answer = receive(socket);
      EXPECT_TRUE(answer.starts_with(std::string(version) + " 200 OK")) << answer;
      EXPECT_NE(answer.find(stream ? "data: [DONE]" : "\"total_tokens\""), std::string::npos);
      EXPECT_EQ(count(answer, "finish_reason\":\"length"),
                count(whole, "finish_reason\":\"length"));
    }
  }
}

TEST_F(HttpServerTest, AClientThatHasSaidAllGetsAllItsAnswers) {
  for (const bool stream : {false, true}) {
    std::string asked =
        request({{"prompt", "the"}, {"max_tokens", 60}, {"seed", 1}, {"stream", stream}});
    const size_t close = asked.find("Connection: close\r\n");
    asked.erase(close, std::strlen("Connection: close\r\n"));
    tcp::socket socket = connect();
    send(socket, asked + "\r\n" + asked + kHealth + asked + "\r\n");
    socket.shutdown(tcp::socket::shutdown_send);
    const std::string answers = receive(socket);
    EXPECT_EQ(count(answers, "HTTP/1.1 200 OK"), 4) << answers;
    EXPECT_EQ(count(answers, stream ? "data: [DONE]" : "total_tokens"), 3) << answers;
  }
}

TEST_F(HttpServerTest, AHalfSentRequestIsToldSo) {
  const std::string asked = request({{"prompt", "the"}});
  for (const size_t sent : {asked.size() - 1, size_t{30}}) {
    tcp::socket socket = connect();
    send(socket, asked.substr(0, sent));
    socket.shutdown(tcp::socket::shutdown_send);
    EXPECT_TRUE(receive(socket).starts_with("HTTP/1.1 400")) << sent;
  }
}

TEST_F(HttpServerTest, ALineBreakBehindABodyIsNoRequest) {
  tcp::socket socket = connect();
  send(socket, kHealth);
  std::string begun(15, ' ');
  boost::asio::read(socket, boost::asio::buffer(begun));
  send(socket, "\r\n");
  send(socket, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(count(receive(socket), "HTTP/1.1 200"), 1);
}

TEST_F(HttpServerTest, ATargetMayNameTheHost) {
  const auto status = [&](const std::string& target) {
    return talk(fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                            target))
        .substr(9, 3);
  };
  EXPECT_EQ(status("http://localhost:80/health"), "200");
  EXPECT_EQ(status("HTTP://LOCALHOST/health?a"), "200");
  EXPECT_EQ(status("http://evil.example/health"), "403");
}

TEST_F(HttpServerTest, HeadsAreChecked) {
  const auto status = [&](const std::string& bytes) { return talk(bytes).substr(9, 3); };
  EXPECT_EQ(status("GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"), "400");
  EXPECT_EQ(status("GET /health HTTP/1.1\r\n\r\n"), "400");
  EXPECT_EQ(status("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                   "Content-Type: application/json\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
                   "0\r\n\r\n"),
            "501");
  const std::string page = talk(
      "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
      "Origin: https://texts.example\r\nX-Forwarded-Host: texts.example, inner\r\n\r\n");
  EXPECT_TRUE(page.starts_with("HTTP/1.1 200")) << page;
  const std::string wrong =
      talk("GET /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(wrong.starts_with("HTTP/1.1 405")) << wrong;
  EXPECT_NE(wrong.find("Allow: POST\r\n"), std::string::npos) << wrong;
  const std::string head =
      talk("HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(head.starts_with("HTTP/1.1 200")) << head;
  EXPECT_TRUE(head.ends_with("\r\n\r\n")) << head;
}

TEST_F(HttpServerTest, ARestingConnectionGivesWayAtTheLimit) {
  std::vector<tcp::socket> resting;
  for (int i = 0; i < 20; ++i) {
    resting.push_back(connect());
    send(resting.back(), kHealth);
    std::string begun(15, ' ');
    boost::asio::read(resting.back(), boost::asio::buffer(begun));
  }
  const std::string answer =
      talk("GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200")) << answer;
}

TEST_F(HttpServerTest, ARequestThatNeverEndsIsCutOff) {
  tcp::socket socket = connect();
  send(socket, "POST /v1/completions HTTP/1.1\r\nHost: lo");
  EXPECT_EQ(receive(socket), "");  // within request_seconds, or the test times out
}

TEST_F(HttpServerTest, BeyondTheLimitOfConnectionsItSaysSo) {
  std::vector<tcp::socket> idle;
  for (int i = 0; i < 20; ++i) idle.push_back(connect());
  const auto get = [&](const char* path) {
    return talk(fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path));
  };
  const std::string answer = get("/v1/models");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503")) << answer;
  EXPECT_NE(answer.find("Retry-After: "), std::string::npos);
  EXPECT_TRUE(get("/health").starts_with("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, HoweverManySayNothingTheHealthIsTold) {
  std::vector<tcp::socket> silent;
  for (int i = 0; i < 80; ++i) silent.push_back(connect());
  EXPECT_TRUE(talk(kHealth).starts_with("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, WhatRunsWhenItIsToStopIsStillAnswered) {
  tcp::socket socket = connect();
  send(socket, request({{"prompt", "the"}, {"max_tokens", 100}, {"seed", 1}, {"stream", true}}));
  std::string begun(16, ' ');
  boost::asio::read(socket, boost::asio::buffer(begun));
  server_.stop();
  EXPECT_NE(receive(socket).find("data: [DONE]"), std::string::npos);
}

TEST(HttpServerOptions, LoopbackIsRecognised) {
  EXPECT_TRUE(is_loopback("127.0.0.1"));
  EXPECT_TRUE(is_loopback("::1"));
  EXPECT_TRUE(is_loopback("localhost"));
  EXPECT_FALSE(is_loopback("0.0.0.0"));
  EXPECT_THROW(is_loopback("example.com"), Error);
}

}  // namespace
}  // namespace alambic
