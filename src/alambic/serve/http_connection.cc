#include "alambic/serve/http_connection.h"

#include <array>
#include <utility>

namespace alambic {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using net::ip::tcp;

namespace {

constexpr auto kTuple = net::as_tuple(net::use_awaitable);

// On a thread for such work.
net::awaitable<Service::Answer> prepare(const Service& service, ApiRoute route,
                                        const std::string& body) {
  co_return service.prepare(route, body);
}

constexpr const char* kJson = "application/json";
constexpr const char* kTooMany = "too many connections; try again in a moment";
constexpr const char* kQueueFull = "the queue is full; try again in a moment";

}  // namespace

HttpConnection::HttpConnection(HttpSetting& setting, tcp::socket socket, bool reserve)
    : setting_(setting),
      stream_(std::move(socket)),
      news_(stream_.get_executor()),
      reserve_(reserve) {}

net::awaitable<void> HttpConnection::run() {
  try {
    while (co_await serve_one()) {
    }
  } catch (const boost::system::system_error&) {  // the client has gone
    co_return;
  }
  boost::system::error_code ignored;
  stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  if (unread_) co_await linger();
}

net::awaitable<void> HttpConnection::turn_away() {
  try {
    const HttpReply reply = error_reply(ApiError(503, kTooMany));
    co_await write(reply);
  } catch (const boost::system::system_error&) {
  }
}

// Reads what the client still sends, and forgets it.
net::awaitable<void> HttpConnection::linger() {
  constexpr size_t kMostBytes = size_t{1} << 30U;
  std::array<char, 1 << 16> bytes;
  stream_.expires_after(duration(setting_.options.request_seconds));
  for (size_t total = 0; total < kMostBytes;) {
    const auto [error, count] = co_await stream_.async_read_some(net::buffer(bytes), kTuple);
    if (error) co_return;
    total += count;
  }
}

// Some clients end a body with a line break that is no part of it.
void HttpConnection::drop_blank_lines() {
  constexpr std::string_view kBreak = "\r\n";
  const auto next = [&] {
    return std::string_view(static_cast<const char*>(buffer_.data().data()), buffer_.size());
  };
  while (next().starts_with(kBreak)) buffer_.consume(kBreak.size());
}

net::awaitable<bool> HttpConnection::first_bytes() {
  if (buffer_.size() > 0 || !resting_) co_return true;
  constexpr size_t kPiece = 4096;
  stream_.expires_after(duration(setting_.options.rest_seconds));
  while (buffer_.size() == 0) {
    const auto [error, count] = co_await stream_.async_read_some(buffer_.prepare(kPiece), kTuple);
    buffer_.commit(count);
    if (error) co_return false;
    drop_blank_lines();
  }
  co_return true;
}

// Whether another request may be answered; what a client sent before it fell silent is one.
bool HttpConnection::stays() const {
  return keep_alive_ && !setting_.draining && (!half_closed_ || buffer_.size() > 0);
}

net::awaitable<bool> HttpConnection::refuse(const ApiError& error) {
  unread_ = true;
  keep_alive_ = false;
  const HttpReply reply = error_reply(error);
  co_return co_await write(reply);
}

net::awaitable<bool> HttpConnection::serve_one() {
  constexpr double kReserveSeconds = 5;
  version_ = 11;
  keep_alive_ = head_only_ = false;
  const bool more = co_await first_bytes();
  resting_ = false;
  if (!more) co_return false;
  http::request_parser<http::string_body> parser;
  parser.header_limit(kMaxHeaderBytes);
  parser.body_limit(kMaxBodyBytes);
  const double limit = setting_.options.request_seconds;
  stream_.expires_after(duration(reserve_ ? std::min(limit, kReserveSeconds) : limit));
  boost::system::error_code error;
  co_await http::async_read_header(stream_, buffer_, parser,
                                   net::redirect_error(net::use_awaitable, error));
  if (error) {
    const auto said = read_error(error);
    if (!said) co_return false;
    co_return co_await refuse(*said);
  }
  version_ = parser.get().version();
  head_only_ = parser.get().method() == http::verb::head;
  if (const auto said = head_error(parser.get())) co_return co_await refuse(*said);
  const HttpRequest head = head_of(parser.get());
  if (reserve_ && Service::path_of(head) != kHealthPath) {
    const ApiError busy(503, kTooMany);
    co_return co_await refuse(busy);
  }
  const auto route = setting_.service.route(head);
  const auto* reply = std::get_if<HttpReply>(&route);
  if (!parser.is_done() && expects_continue(parser.get())) {
    if (reply != nullptr) {  // the body need not come at all
      unread_ = true;
      co_return co_await write(*reply);
    }
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await net::async_write(stream_, net::buffer(kContinue), net::use_awaitable);
  }
  co_await http::async_read(stream_, buffer_, parser,
                            net::redirect_error(net::use_awaitable, error));
  if (error) {
    const auto said = read_error(error);
    if (!said) co_return false;
    co_return co_await refuse(*said);
  }
  working_ = true;
  keep_alive_ = parser.get().keep_alive() && !reserve_;
  bool more_may_come = false;
  if (reply != nullptr) {
    more_may_come = co_await write(*reply);
  } else {
    more_may_come = co_await answer(std::get<ApiRoute>(route), parser.get().body());
  }
  working_ = false;
  drop_blank_lines();
  resting_ = more_may_come && buffer_.size() == 0;
  since_ = std::chrono::steady_clock::now();
  co_return more_may_come;
}

net::awaitable<bool> HttpConnection::answer(ApiRoute route, const std::string& body) {
  stream_.expires_never();
  updates_.clear();
  const Service::Answer prepared = co_await net::co_spawn(
      setting_.workers, prepare(setting_.service, route, body), net::use_awaitable);
  if (const auto* reply = std::get_if<HttpReply>(&prepared)) co_return co_await write(*reply);
  const auto exchange = std::get<std::shared_ptr<Exchange>>(prepared);
  const ChoiceTask::Sink sink = [gate = setting_.gate,
                                 weak = weak_from_this()](ChoiceUpdate update) {
    gate->through([&] {
      const auto self = weak.lock();
      if (self == nullptr) return;
      net::post(self->stream_.get_executor(), [self, update = std::move(update)]() mutable {
        self->updates_.push_back(std::move(update));
        self->news_.cancel();
      });
    });
  };
  if (!exchange->start(sink)) {
    const HttpReply full = error_reply(ApiError(503, kQueueFull));
    co_return co_await write(full);
  }
  watching_ = true;
  net::co_spawn(stream_.get_executor(), watch(),
                [self = shared_from_this()](const std::exception_ptr&) {
                  self->watching_ = false;
                  self->news_.cancel();
                });
  bool more_may_come = false;
  try {
    if (exchange->stream()) {
      more_may_come = co_await stream_answer(*exchange);
    } else {
      more_may_come = co_await whole_answer(*exchange);
    }
  } catch (const boost::system::system_error&) {  // the client has gone
  }
  exchange->cancel();
  if (more_may_come) co_await stop_watching();
  co_return more_may_come && !gone_;
}

// Looks after the client while its answer is made. What it sends meanwhile is its next request.
net::awaitable<void> HttpConnection::watch() {
  constexpr size_t kPiece = 4096, kMostAhead = 1 << 16;
  tcp::socket& socket = stream_.socket();
  while (buffer_.size() < kMostAhead) {
    const auto [error, count] = co_await socket.async_read_some(buffer_.prepare(kPiece), kTuple);
    buffer_.commit(count);
    if (!error) continue;
    if (error == net::error::operation_aborted) co_return;
    half_closed_ = error == net::error::eof;
    gone_ = !half_closed_;
    drop_blank_lines();
    news_.cancel();
    if (gone_) co_return;
    break;
  }
  // From here on only a refused piece of the answer tells that nobody is there.
  const auto [error] = co_await socket.async_wait(tcp::socket::wait_error, kTuple);
  if (error) co_return;
  gone_ = true;
  news_.cancel();
}

net::awaitable<void> HttpConnection::stop_watching() {
  while (watching_) {
    boost::system::error_code ignored;
    stream_.socket().cancel(ignored);
    news_.expires_after(std::chrono::seconds(1));
    co_await news_.async_wait(kTuple);
  }
}

// False: nothing came within `seconds`.
net::awaitable<bool> HttpConnection::wait_for_news(Seconds seconds) {
  if (!updates_.empty() || gone_) co_return true;
  news_.expires_after(duration(seconds));
  const auto [error] = co_await news_.async_wait(kTuple);
  co_return error == net::error::operation_aborted;
}

net::awaitable<bool> HttpConnection::whole_answer(Exchange& exchange) {
  bool begun = false;
  while (!exchange.finished()) {
    co_await wait_for_news(setting_.options.ping_seconds);
    if (gone_) co_return false;
    while (!updates_.empty()) {
      exchange.take(std::move(updates_.front()));
      updates_.pop_front();
    }
    if (half_closed_ && !begun && !exchange.finished()) {
      co_await begin(kJson);
      begun = true;
    }
  }
  const HttpReply reply = exchange.reply();
  if (!begun) co_return co_await write(reply);
  co_await write_piece(reply.body);
  if (reply.status != 200) co_return false;  // the missing end says that it failed
  co_await end();
  co_return stays();
}

net::awaitable<bool> HttpConnection::stream_answer(Exchange& exchange) {
  co_await begin(kSseType);
  co_await write_piece(exchange.opening_events());
  bool probed = false;
  while (!exchange.finished()) {
    const bool news = co_await wait_for_news(setting_.options.ping_seconds);
    if (gone_) co_return false;
    std::string events;
    while (!updates_.empty() && !exchange.finished()) {
      events += exchange.events(updates_.front());
      updates_.pop_front();
    }
    if (!news || (half_closed_ && !std::exchange(probed, true))) events += kSsePing;
    co_await write_piece(std::move(events));
  }
  std::string closing = exchange.closing_events();
  if (closing.empty()) co_return false;  // it failed: the missing last chunk says so
  co_await write_piece(std::move(closing));
  co_await end();
  co_return stays();
}

// The head of an answer whose length nobody knows yet.
net::awaitable<void> HttpConnection::begin(const char* content_type) {
  chunked_ = version_ >= 11;
  if (!chunked_) keep_alive_ = false;
  http::response<http::empty_body> head(http::status::ok, version_);
  set_common(head, content_type, stays());
  head.chunked(chunked_);
  http::response_serializer<http::empty_body> serializer(head);
  stream_.expires_after(duration(setting_.options.write_seconds));
  co_await http::async_write_header(stream_, serializer, net::use_awaitable);
}

net::awaitable<void> HttpConnection::write_piece(std::string piece) {
  if (piece.empty()) co_return;
  stream_.expires_after(duration(setting_.options.write_seconds));
  if (chunked_) {
    co_await net::async_write(stream_, http::make_chunk(net::buffer(piece)), net::use_awaitable);
  } else {
    co_await net::async_write(stream_, net::buffer(piece), net::use_awaitable);
  }
}

net::awaitable<void> HttpConnection::end() {
  if (!chunked_) co_return;
  co_await net::async_write(stream_, http::make_chunk_last(), net::use_awaitable);
}

net::awaitable<bool> HttpConnection::write(const HttpReply& reply) {
  const bool more_may_come = stays();
  auto message = message_of(reply, version_, more_may_come);
  if (head_only_) message.body().clear();
  stream_.expires_after(duration(setting_.options.write_seconds));
  co_await http::async_write(stream_, message, net::use_awaitable);
  co_return more_may_come;
}

}  // namespace alambic
