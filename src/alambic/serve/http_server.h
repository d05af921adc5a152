// The service on a TCP port: HTTP/1.1 on Boost.Beast and Asio, one coroutine a connection, which
// may bring one request after another (http_connection.h).
//
// Bounds: header bytes, body bytes, the time each may take, connections at once; beyond them a few
// more hear of the server's health. A client that leaves ends its generation. SIGINT or SIGTERM (or
// stop()) closes the port, lets running answers end, and makes run() return; a second signal, or a
// grace period that runs out, cuts them off.
//
// Ownership: looks at the service, which must outlive run(). Thread safety: stop() from any thread;
// everything else from one, which run() makes its own. Errors: kInvalidArgument for a host that is
// no address, kIo where the port cannot be had.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "alambic/serve/service.h"

namespace alambic {

struct HttpOptions {
  std::string host = "127.0.0.1";  // an IP address or "localhost"
  uint16_t port = 8080;            // 0: any that is free
  double request_seconds = 30;     // to send a whole request
  double rest_seconds = 5;         // for the next request of a connection to begin
  double write_seconds = 30;       // for the client to take each piece of an answer
  double ping_seconds = 10;        // between signs of life in a stream
  double grace_seconds = 30;       // for running answers, once it is to stop
  size_t max_connections = 256;
};

// True for addresses that other machines cannot reach.
bool is_loopback(const std::string& host);

class HttpServer {
 public:
  // Takes the port at once.
  HttpServer(Service& service, const HttpOptions& options);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const;
  void run();
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace alambic
