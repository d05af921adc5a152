#include "alambic/serve/http_wire.h"

#include <algorithm>

namespace alambic {

namespace http = boost::beast::http;

std::chrono::milliseconds duration(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

namespace {

// "http://localhost:80/health", as clients of proxies write it: its host goes before the header's.
void split_target(HttpRequest& head) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!boost::beast::iequals(head.target.substr(0, scheme.size()), scheme)) continue;
    const size_t end = std::min(head.target.find_first_of("/?", scheme.size()), head.target.size());
    head.host = head.target.substr(scheme.size(), end - scheme.size());
    head.target.erase(0, end);
    return;
  }
}

}  // namespace

HttpRequest head_of(const BeastRequest& request) {
  const auto field = [&](auto name) { return std::string(request[name]); };
  HttpRequest head;
  head.method = std::string(request.method_string());
  if (request.method() == http::verb::head) head.method = "GET";
  head.target = std::string(request.target());
  head.host = field(http::field::host);
  split_target(head);
  head.origin = field(http::field::origin);
  head.forwarded_host = field("X-Forwarded-Host");
  // Each proxy adds the name that it was called by: the first is the page's.
  head.forwarded_host.resize(std::min(head.forwarded_host.find(','), head.forwarded_host.size()));
  head.authorization = field(http::field::authorization);
  head.content_type = field(http::field::content_type);
  head.content_encoding = field(http::field::content_encoding);
  return head;
}

bool expects_continue(const BeastRequest& request) {
  return request.version() >= 11 &&
         boost::beast::iequals(request[http::field::expect], "100-continue");
}

std::optional<ApiError> head_error(const BeastRequest& request) {
  const size_t hosts = request.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && request.version() >= 11)) {
    return ApiError(400, fmt::format("Host: got {} of these headers, want one", hosts));
  }
  for (const auto field :
       {http::field::origin, http::field::authorization, http::field::content_type}) {
    if (request.count(field) > 1) {
      return ApiError(400, fmt::format("{}: got more than one of these headers, want one",
                                       std::string(http::to_string(field))));
    }
  }
  if (request.count(http::field::transfer_encoding) > 0 &&
      !boost::beast::iequals(request[http::field::transfer_encoding], "chunked")) {
    return ApiError(501, "Transfer-Encoding: this server knows chunked only");
  }
  if (request.version() >= 11 && request.count(http::field::expect) > 0 &&
      !expects_continue(request)) {
    return ApiError(417, "Expect: this server knows 100-continue only");
  }
  return std::nullopt;
}

std::optional<ApiError> read_error(const boost::system::error_code& error) {
  if (error == http::error::body_limit) {
    return ApiError(413, fmt::format("the body is longer than {} bytes", kMaxBodyBytes));
  }
  if (error == http::error::header_limit) {
    return ApiError(431, fmt::format("the headers are longer than {} bytes", kMaxHeaderBytes));
  }
  if (error == http::error::partial_message) {
    return ApiError(400, "the request ends in the middle");
  }
  if (error == http::error::end_of_stream ||
      error.category() != http::make_error_code(http::error::bad_method).category()) {
    return std::nullopt;
  }
  return ApiError(400, "not a valid HTTP request");
}

http::response<http::string_body> message_of(const HttpReply& reply, unsigned version,
                                             bool keep_alive) {
  http::response<http::string_body> message(static_cast<http::status>(reply.status), version);
  set_common(message, reply.content_type, keep_alive);
  for (const auto& [name, value] : reply.headers) message.set(name, value);
  message.body() = reply.body;
  message.prepare_payload();
  return message;
}

}  // namespace alambic
