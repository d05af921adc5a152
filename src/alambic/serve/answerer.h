// Who answers what the API is asked: a model that writes (writer.h), or a classifier that is no
// language model (labeller.h).
//
// Thread safety: from any thread. Errors: ApiError, or Error, for what cannot be answered.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "alambic/base/json.h"
#include "alambic/serve/api_request.h"
#include "alambic/serve/exchange.h"

namespace alambic {

class Answerer {
 public:
  // What can be said at once, or what is still to be worked on.
  using Answer = std::variant<HttpReply, std::shared_ptr<Exchange>>;

  Answerer() = default;
  Answerer(const Answerer&) = delete;
  Answerer& operator=(const Answerer&) = delete;
  virtual ~Answerer() = default;

  // As clients know it.
  virtual const std::string& name() const = 0;
  // What GET /v1/models says of it beside its name.
  virtual OrderedJson meta() const = 0;
  virtual Answer complete(CompletionRequest request) = 0;
  virtual Answer chat(ChatRequest request) = 0;
};

}  // namespace alambic
