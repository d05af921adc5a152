// What the server answers, without a network: who may ask, which route it is, what is asked of
// whoever answers (answerer.h), and what becomes of errors.
//
// Routes: GET /health, GET /v1/models, GET /v1/models/{id}, POST /v1/completions,
// POST /v1/chat/completions. Ownership: owns the answerer, which an Exchange needs as long as it
// runs. Thread safety: from any thread. Errors: none escape; each becomes an HTTP answer with an
// error object.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "alambic/serve/answerer.h"
#include "alambic/serve/api_error.h"
#include "alambic/serve/api_request.h"

namespace alambic {

struct HttpRequest {
  std::string method, target;
  std::string host, origin;
  std::string forwarded_host;  // the name that clients know, where a proxy stands before the server
  std::string authorization, content_type, content_encoding;
  std::string body;
};

inline constexpr std::string_view kHealthPath = "/health";

class Service {
 public:
  // `api_key`: what clients must show on every route but /health; empty: none.
  Service(std::unique_ptr<Answerer> answerer, std::string api_key);

  using Answer = Answerer::Answer;

  // What can be said before the body has come: an answer, or where the body is to go.
  std::variant<HttpReply, ApiRoute> route(const HttpRequest& request) const;
  // Templates and tokenizers are at work here: it may take a while.
  Answer prepare(ApiRoute route, const std::string& body) const;
  // Both.
  Answer handle(const HttpRequest& request) const;

  // A target without its query.
  static std::string_view path_of(const HttpRequest& request);

 private:
  void check_origin(const HttpRequest& request) const;
  void check_key(const HttpRequest& request) const;
  void check_model(const std::string& name) const;
  OrderedJson model_entry() const;

  std::unique_ptr<Answerer> answerer_;
  std::string api_key_;
};

}  // namespace alambic
