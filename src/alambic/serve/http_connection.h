// One connection of the server: its requests, one after another, each with its answer.
//
// A client that has closed its sending half still gets its answer. Whether it has left altogether
// shows only when something is sent to it: its answer is begun at once then, and a client that is
// gone frees its place. Bodies that are refused are read to their end, within bounds, so that the
// client sees the answer rather than a broken connection.
//
// Ownership: shared between its coroutines and the server. Thread safety: the network thread alone.
// Errors: none escape run().
#pragma once

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "alambic/serve/http_server.h"
#include "alambic/serve/http_wire.h"

namespace alambic {

// Between the engine's threads and the network: what is written when the server has ended goes
// nowhere.
class HttpGate {
 public:
  void close() {
    const std::lock_guard lock(mutex_);
    open_ = false;
  }
  // Calls `pass` unless the gate is closed, and not while it closes.
  template <class Pass>
  void through(const Pass& pass) {
    const std::lock_guard lock(mutex_);
    if (open_) pass();
  }

 private:
  std::mutex mutex_;
  bool open_ = true;
};

// What all connections of a server have in common.
struct HttpSetting {
  Service& service;
  HttpOptions options;
  boost::asio::thread_pool workers;  // templates and tokenizers may take their time
  std::shared_ptr<HttpGate> gate = std::make_shared<HttpGate>();
  bool draining = false;  // nothing new is begun
};

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  // `reserve`: one beyond the limit, which hears of the server's health alone.
  HttpConnection(HttpSetting& setting, boost::asio::ip::tcp::socket socket, bool reserve);

  boost::asio::awaitable<void> run();
  // Says that there are too many and reads nothing.
  boost::asio::awaitable<void> turn_away();

  void close() { stream_.close(); }
  // A whole request has come, and its answer is not out yet.
  bool working() const { return working_; }
  // An answer is out, and nothing has come since.
  bool resting() const { return resting_; }
  std::chrono::steady_clock::time_point resting_since() const { return since_; }
  // Beyond the limit, and has not asked anything yet.
  bool idle_reserve() const { return reserve_ && !working_; }

 private:
  using Seconds = double;
  // True: the connection stays for another request.
  boost::asio::awaitable<bool> serve_one();
  boost::asio::awaitable<bool> first_bytes();
  void drop_blank_lines();
  bool stays() const;
  boost::asio::awaitable<bool> refuse(const ApiError& error);
  boost::asio::awaitable<bool> answer(ApiRoute route, const std::string& body);
  boost::asio::awaitable<void> linger();

  boost::asio::awaitable<void> watch();
  boost::asio::awaitable<void> stop_watching();
  boost::asio::awaitable<bool> wait_for_news(Seconds seconds);

  boost::asio::awaitable<bool> whole_answer(Exchange& exchange);
  boost::asio::awaitable<bool> stream_answer(Exchange& exchange);
  boost::asio::awaitable<void> begin(const char* content_type);
  boost::asio::awaitable<void> write_piece(std::string piece);
  boost::asio::awaitable<void> end();
  boost::asio::awaitable<bool> write(const HttpReply& reply);

  HttpSetting& setting_;
  boost::beast::tcp_stream stream_;
  boost::beast::flat_buffer buffer_;
  boost::asio::steady_timer news_;  // cancelled when there are updates or the client is heard of
  std::deque<ChoiceUpdate> updates_;
  bool reserve_;
  bool working_ = false, resting_ = false;
  bool watching_ = false;
  bool half_closed_ = false, gone_ = false;
  bool unread_ = false;  // of a request that was answered before it was read
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  // Of the request at hand.
  unsigned version_ = 11;
  bool keep_alive_ = false, head_only_ = false, chunked_ = false;
};

}  // namespace alambic
