// HTTP/1.1 messages between Boost.Beast's types and this room's: what a head says, what is wrong
// with it, and how an answer begins. Thread safety: pure functions. Nothing here throws.
#pragma once

#include <boost/beast/http.hpp>
#include <chrono>
#include <optional>
#include <string>

#include "alambic/serve/api_error.h"
#include "alambic/serve/service.h"

namespace alambic {

inline constexpr uint32_t kMaxHeaderBytes = 32 << 10;
inline constexpr uint64_t kMaxBodyBytes = 1 << 20;

using BeastRequest = boost::beast::http::request<boost::beast::http::string_body>;

std::chrono::milliseconds duration(double seconds);

// Without its body. HEAD is GET here: only the answer's body is left out.
HttpRequest head_of(const BeastRequest& request);

// What makes a head one that nobody should answer otherwise.
std::optional<ApiError> head_error(const BeastRequest& request);
// Whether the client waits for a word before it sends the body.
bool expects_continue(const BeastRequest& request);

// What reading a request can fail with that deserves an answer; nothing: the client has gone.
std::optional<ApiError> read_error(const boost::system::error_code& error);

template <class Message>
void set_common(Message& message, const std::string& content_type, bool keep_alive) {
  namespace http = boost::beast::http;
  message.set(http::field::server, "alambic");
  message.set(http::field::content_type, content_type);
  message.set(http::field::cache_control, "no-store");
  message.set("X-Content-Type-Options", "nosniff");
  message.keep_alive(keep_alive);
}

boost::beast::http::response<boost::beast::http::string_body> message_of(const HttpReply& reply,
                                                                         unsigned version,
                                                                         bool keep_alive);

}  // namespace alambic
