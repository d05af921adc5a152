#include "alambic/serve/http_server.h"

#include <gtest/gtest.h>

#include <boost/asio.hpp>
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
        "Content-Length: {}\r\n\r\n{}",
        path, text.size(), text);
  }

  SmallServer small_;
  HttpServer server_{small_.service,
                     {.port = 0, .request_seconds = 1, .grace_seconds = 5, .max_connections = 20}};
  boost::asio::io_context context_;
  std::thread thread_{[this] { server_.run(); }};
};

TEST_F(HttpServerTest, AnswersAndCloses) {
  const std::string answer = talk("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
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
  EXPECT_NE(answer.find("Content-Type: text/event-stream"), std::string::npos);
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

TEST_F(HttpServerTest, ARequestThatNeverEndsIsCutOff) {
  tcp::socket socket = connect();
  send(socket, "POST /v1/completions HTTP/1.1\r\nHost: lo");
  EXPECT_EQ(receive(socket), "");  // within request_seconds, or the test times out
}

TEST_F(HttpServerTest, BeyondTheLimitOfConnectionsItSaysSo) {
  std::vector<tcp::socket> idle;
  for (int i = 0; i < 20; ++i) idle.push_back(connect());
  const std::string answer = talk("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503")) << answer;
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
