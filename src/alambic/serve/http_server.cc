#include "alambic/serve/http_server.h"

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <deque>
#include <set>
#include <utility>

#include "alambic/base/error.h"

namespace alambic {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using net::ip::tcp;

constexpr uint32_t kMaxHeaderBytes = 32 << 10;
constexpr uint64_t kMaxBodyBytes = 1 << 20;

std::chrono::milliseconds duration(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

net::ip::address address_of(const std::string& host) {
  boost::system::error_code error;
  auto address = net::ip::make_address(host == "localhost" ? "127.0.0.1" : host, error);
  if (error) {
    fail(ErrorCode::kInvalidArgument, "[--host] got \"{}\"; want an IP address or localhost", host);
  }
  return address;
}

HttpRequest plain(const http::request<http::string_body>& request) {
  const auto field = [&](http::field name) { return std::string(request[name]); };
  return {std::string(request.method_string()),
          std::string(request.target()),
          field(http::field::host),
          field(http::field::origin),
          field(http::field::authorization),
          field(http::field::content_type),
          field(http::field::content_encoding),
          request.body()};
}

// What reading a request can fail with that deserves an answer; nullopt: the client has gone.
std::optional<ApiError> read_error(const boost::system::error_code& error) {
  if (error == http::error::body_limit) {
    return ApiError(413, fmt::format("the body is longer than {} bytes", kMaxBodyBytes));
  }
  if (error == http::error::header_limit) {
    return ApiError(431, fmt::format("the headers are longer than {} bytes", kMaxHeaderBytes));
  }
  if (error == http::error::end_of_stream || error == http::error::partial_message ||
      error.category() != http::make_error_code(http::error::bad_method).category()) {
    return std::nullopt;
  }
  return ApiError(400, "not a valid HTTP request");
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(Service& service, const HttpOptions& options)
      : service_(service),
        options_(options),
        acceptor_(context_),
        signals_(context_),
        grace_(context_) {
    const tcp::endpoint endpoint(address_of(options.host), options.port);
    try {
      acceptor_.open(endpoint.protocol());
      acceptor_.set_option(net::socket_base::reuse_address(true));
      acceptor_.bind(endpoint);
      acceptor_.listen();
    } catch (const boost::system::system_error& error) {
      fail(ErrorCode::kIo, "[serve] cannot listen on {} port {}: {}", options.host, options.port,
           error.code().message());
    }
  }

  uint16_t port() const { return acceptor_.local_endpoint().port(); }

  void run() {
    signals_.add(SIGINT);
    signals_.add(SIGTERM);
    net::co_spawn(context_, wait_for_signals(), net::detached);
    net::co_spawn(context_, accept(), net::detached);
    context_.run();
  }

  void stop() {
    net::post(context_, [this] { drain(); });
  }

 private:
  // What a connection's coroutine, its watcher and the engine share.
  struct Connection {
    explicit Connection(tcp::socket socket)
        : stream(std::move(socket)), news(stream.get_executor()) {}
    beast::tcp_stream stream;
    net::steady_timer news;  // cancelled when there are updates, or the client has gone
    std::deque<ChoiceUpdate> updates;
    bool gone = false;
    bool idle = true;  // no whole request has come yet
  };
  using Shared = std::shared_ptr<Connection>;

  net::awaitable<void> accept() {
    for (;;) {
      auto [error, socket] = co_await acceptor_.async_accept(net::as_tuple(net::use_awaitable));
      if (!acceptor_.is_open()) co_return;
      if (error) {  // such as no file descriptors left: others must close first
        net::steady_timer pause(context_, std::chrono::milliseconds(50));
        co_await pause.async_wait(net::as_tuple(net::use_awaitable));
        continue;
      }
      boost::system::error_code ignored;
      socket.set_option(tcp::no_delay(true), ignored);
      auto connection = std::make_shared<Connection>(std::move(socket));
      connections_.insert(connection);
      net::co_spawn(context_, serve(connection), [this, connection](const std::exception_ptr&) {
        boost::system::error_code none;
        connection->stream.socket().shutdown(tcp::socket::shutdown_send, none);
        connection->stream.close();
        connections_.erase(connection);
        end_if_idle();
      });
    }
  }

  net::awaitable<void> wait_for_signals() {
    for (bool first = true;; first = false) {
      const auto [error, number] = co_await signals_.async_wait(net::as_tuple(net::use_awaitable));
      if (error) co_return;
      if (!first) context_.stop();
      drain();
      if (idle()) co_return;
    }
  }

  void drain() {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    for (const Shared& connection : connections_) {
      if (connection->idle) connection->stream.close();
    }
    grace_.expires_after(duration(options_.grace_seconds));
    grace_.async_wait([this](const boost::system::error_code& error) {
      if (!error) context_.stop();
    });
    end_if_idle();
  }

  bool idle() const { return !acceptor_.is_open() && connections_.empty(); }

  void end_if_idle() {
    if (!idle()) return;
    signals_.cancel();
    grace_.cancel();
  }

  net::awaitable<void> serve(Shared connection) {
    beast::flat_buffer buffer;
    http::request_parser<http::string_body> parser;
    parser.header_limit(kMaxHeaderBytes);
    parser.body_limit(kMaxBodyBytes);
    connection->stream.expires_after(duration(options_.request_seconds));
    if (connections_.size() > options_.max_connections) {
      co_await write(connection, error_reply(ApiError(503, "too many connections")), 11, false);
      co_return;
    }
    boost::system::error_code error;
    co_await http::async_read(connection->stream, buffer, parser,
                              net::redirect_error(net::use_awaitable, error));
    if (error) {
      if (const auto answer = read_error(error)) {
        co_await write(connection, error_reply(*answer), 11, false);
      }
      co_return;
    }
    connection->idle = false;
    const http::request<http::string_body> request = parser.release();
    const bool head = request.method() == http::verb::head;
    HttpRequest asked = plain(request);
    if (head) asked.method = "GET";
    auto answer = service_.handle(asked);
    if (const auto* reply = std::get_if<HttpReply>(&answer)) {
      co_await write(connection, *reply, request.version(), head);
      co_return;
    }
    const auto exchange = std::get<std::shared_ptr<Exchange>>(answer);
    const auto sink = [connection](ChoiceUpdate update) {
      net::post(connection->stream.get_executor(),
                [connection, update = std::move(update)]() mutable {
                  connection->updates.push_back(std::move(update));
                  connection->news.cancel();
                });
    };
    if (!exchange->start(service_.engine(), sink)) {
      co_await write(connection,
                     error_reply(ApiError(503, "the queue is full; try again in a moment")),
                     request.version(), false);
      co_return;
    }
    connection->stream.expires_never();
    net::co_spawn(context_, watch(connection), net::detached);
    try {
      if (exchange->stream()) {
        co_await stream_answer(connection, *exchange, request.version());
      } else {
        co_await whole_answer(connection, *exchange, request.version());
      }
    } catch (const boost::system::system_error&) {  // the client has gone
    }
    exchange->cancel();
  }

  // One request a connection: whatever comes now is the end, or nothing we would read. A client
  // that closes its sending half counts as gone.
  net::awaitable<void> watch(Shared connection) {
    char byte = 0;
    co_await connection->stream.async_read_some(net::buffer(&byte, 1),
                                                net::as_tuple(net::use_awaitable));
    connection->gone = true;
    connection->news.cancel();
  }

  // False: nothing came within `seconds`.
  net::awaitable<bool> wait_for_news(Connection& connection, double seconds) {
    if (!connection.updates.empty() || connection.gone) co_return true;
    connection.news.expires_after(duration(seconds));
    const auto [error] = co_await connection.news.async_wait(net::as_tuple(net::use_awaitable));
    co_return error == net::error::operation_aborted;
  }

  net::awaitable<void> whole_answer(Shared connection, Exchange& exchange, unsigned version) {
    while (!exchange.finished()) {
      co_await wait_for_news(*connection, options_.ping_seconds);
      if (connection->gone) co_return;
      while (!connection->updates.empty()) {
        exchange.take(std::move(connection->updates.front()));
        connection->updates.pop_front();
      }
    }
    co_await write(connection, exchange.reply(), version, false);
  }

  net::awaitable<void> stream_answer(Shared connection, Exchange& exchange, unsigned version) {
    const bool chunked = version >= 11;
    http::response<http::empty_body> head(http::status::ok, version);
    set_common(head, "text/event-stream");
    head.chunked(chunked);
    http::response_serializer<http::empty_body> serializer(head);
    connection->stream.expires_after(duration(options_.write_seconds));
    co_await http::async_write_header(connection->stream, serializer, net::use_awaitable);
    co_await write_events(*connection, exchange.opening_events(), chunked);
    while (!exchange.finished()) {
      if (!co_await wait_for_news(*connection, options_.ping_seconds)) {
        co_await write_events(*connection, std::string(kSsePing), chunked);
      }
      if (connection->gone) co_return;
      std::string events;
      while (!connection->updates.empty() && !exchange.finished()) {
        events += exchange.events(connection->updates.front());
        connection->updates.pop_front();
      }
      co_await write_events(*connection, std::move(events), chunked);
    }
    const std::string end = exchange.closing_events();
    if (end.empty()) co_return;  // it failed: the missing last chunk says so
    co_await write_events(*connection, end, chunked);
    if (chunked) {
      co_await net::async_write(connection->stream, http::make_chunk_last(), net::use_awaitable);
    }
  }

  net::awaitable<void> write_events(Connection& connection, std::string events, bool chunked) {
    if (events.empty()) co_return;
    connection.stream.expires_after(duration(options_.write_seconds));
    if (chunked) {
      co_await net::async_write(connection.stream, http::make_chunk(net::buffer(events)),
                                net::use_awaitable);
    } else {
      co_await net::async_write(connection.stream, net::buffer(events), net::use_awaitable);
    }
  }

  template <class Message>
  static void set_common(Message& message, const std::string& content_type) {
    message.set(http::field::server, "alambic");
    message.set(http::field::content_type, content_type);
    message.set(http::field::cache_control, "no-store");
    message.set("X-Content-Type-Options", "nosniff");
    message.keep_alive(false);
  }

  net::awaitable<void> write(Shared connection, const HttpReply& reply, unsigned version,
                             bool head) {
    http::response<http::string_body> message(static_cast<http::status>(reply.status), version);
    set_common(message, reply.content_type);
    for (const auto& [name, value] : reply.headers) message.set(name, value);
    message.body() = reply.body;
    message.prepare_payload();
    if (head) message.body().clear();
    connection->stream.expires_after(duration(options_.write_seconds));
    co_await http::async_write(connection->stream, message, net::use_awaitable);
  }

  Service& service_;
  HttpOptions options_;
  net::io_context context_{1};
  tcp::acceptor acceptor_;
  net::signal_set signals_;
  net::steady_timer grace_;
  std::set<Shared> connections_;
};

bool is_loopback(const std::string& host) { return address_of(host).is_loopback(); }

HttpServer::HttpServer(Service& service, const HttpOptions& options)
    : impl_(std::make_unique<Impl>(service, options)) {}
HttpServer::~HttpServer() = default;
uint16_t HttpServer::port() const { return impl_->port(); }
void HttpServer::run() { impl_->run(); }
void HttpServer::stop() { impl_->stop(); }

}  // namespace alambic
