// HTTP calls side by side, on libcurl: what a teacher behind an endpoint is asked through.
//
// Certificates are verified, redirects are not followed (they would carry the key elsewhere), and
// every answer is bounded in bytes and in time. The key goes into one header and nowhere else:
// where an answer repeats it, asterisks take its place. Ownership: owns its connections. Thread
// safety: one object, one thread. Errors: a call that comes to nothing is an answer with a
// `failure`; the constructor throws kUnsupported where libcurl cannot start.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace alambic {

struct HttpClientOptions {
  double timeout_seconds = 120;  // for a whole call
  size_t max_body = 16 << 20;    // bytes
  std::string key;               // bearer token; empty: none
};

struct HttpCall {
  std::string url;
  std::string body;  // JSON to POST; empty: GET
};

struct HttpAnswer {
  int64_t call = 0;
  int status = 0;  // 0: no answer came
  std::string body;
  std::string failure;     // why the answer is missing or not whole
  bool hopeless = false;   // the failure will not pass, such as a certificate that is not trusted
  double retry_after = 0;  // seconds that the server asked for
};

class HttpClient {
 public:
  explicit HttpClient(HttpClientOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Begins a call; its number comes back with the answer.
  int64_t start(const HttpCall& call);
  size_t running() const;
  // Works for at most so long and returns what has ended.
  std::vector<HttpAnswer> wait(double seconds);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace alambic
