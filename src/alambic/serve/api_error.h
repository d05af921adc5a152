// What a client is told when a request cannot be carried out: an HTTP status and the error object
// of the OpenAI API ({"error":{"message","type","param","code"}}). Thread safety: values.
#pragma once

#include <stdexcept>
#include <string>

#include "alambic/base/error.h"
#include "alambic/base/json.h"

namespace alambic {

class ApiError : public std::runtime_error {
 public:
  // `param` names the field of the request, `code` the case; both may be empty.
  ApiError(int status, const std::string& message, std::string param = "", std::string code = "")
      : std::runtime_error(message),
        status_(status),
        param_(std::move(param)),
        code_(std::move(code)) {}
  int status() const { return status_; }
  OrderedJson body() const;

 private:
  int status_;
  std::string param_, code_;
};

// 400 for what a client can change; 500, with a plain message, for what it cannot.
ApiError api_error_of(const Error& error);

}  // namespace alambic
