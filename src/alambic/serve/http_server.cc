#include "alambic/serve/http_server.h"

#include <algorithm>
#include <set>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/serve/http_connection.h"

namespace alambic {
namespace {

namespace net = boost::asio;
using net::ip::tcp;

constexpr size_t kWorkers = 4;   // threads for templates and tokenizers
constexpr size_t kReserve = 32;  // connections beyond the limit that may ask for the health

net::ip::address address_of(const std::string& host) {
  boost::system::error_code error;
  auto address = net::ip::make_address(host == "localhost" ? "127.0.0.1" : host, error);
  if (error) {
    fail(ErrorCode::kInvalidArgument, "[--host] got \"{}\"; want an IP address or localhost", host);
  }
  return address;
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(Service& service, const HttpOptions& options)
      : acceptor_(context_),
        signals_(context_),
        grace_(context_),
        setting_{service, options, net::thread_pool(kWorkers)} {
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

  ~Impl() { setting_.gate->close(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

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
  using Shared = std::shared_ptr<HttpConnection>;

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
      make_room();
      make_reserve();
      const size_t most = setting_.options.max_connections;
      const bool reserve = connections_.size() >= most;
      auto connection = std::make_shared<HttpConnection>(setting_, std::move(socket), reserve);
      const bool turned_away = connections_.size() >= most + kReserve;
      connections_.insert(connection);
      net::co_spawn(context_, turned_away ? connection->turn_away() : connection->run(),
                    [this, connection](const std::exception_ptr&) {
                      connection->close();
                      connections_.erase(connection);
                      end_if_idle();
                    });
    }
  }

  // At the limit, a client that keeps a connection for later has to give way.
  void make_room() {
    if (connections_.size() < setting_.options.max_connections) return;
    const auto longest = std::min_element(connections_.begin(), connections_.end(),
                                          [](const Shared& a, const Shared& b) {
                                            return std::tuple(!a->resting(), a->resting_since()) <
                                                   std::tuple(!b->resting(), b->resting_since());
                                          });
    if (!(*longest)->resting()) return;
    (*longest)->close();
    connections_.erase(longest);
  }

  // Nor do clients that say nothing keep others from asking for the health.
  void make_reserve() {
    if (connections_.size() < setting_.options.max_connections + kReserve) return;
    const auto oldest = std::min_element(
        connections_.begin(), connections_.end(), [](const Shared& a, const Shared& b) {
          return std::tuple(!a->idle_reserve(), a->resting_since()) <
                 std::tuple(!b->idle_reserve(), b->resting_since());
        });
    if (!(*oldest)->idle_reserve()) return;
    (*oldest)->close();
    connections_.erase(oldest);
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
    setting_.draining = true;
    for (const Shared& connection : connections_) {
      if (!connection->working()) connection->close();
    }
    grace_.expires_after(duration(setting_.options.grace_seconds));
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

  net::io_context context_{1};
  tcp::acceptor acceptor_;
  net::signal_set signals_;
  net::steady_timer grace_;
  std::set<Shared> connections_;
  HttpSetting setting_;  // last: its workers end before the rest
};

bool is_loopback(const std::string& host) { return address_of(host).is_loopback(); }

HttpServer::HttpServer(Service& service, const HttpOptions& options)
    : impl_(std::make_unique<Impl>(service, options)) {}
HttpServer::~HttpServer() = default;
uint16_t HttpServer::port() const { return impl_->port(); }
void HttpServer::run() { impl_->run(); }
void HttpServer::stop() { impl_->stop(); }

}  // namespace alambic
