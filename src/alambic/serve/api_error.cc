#include "alambic/serve/api_error.h"

namespace alambic {
namespace {

const char* type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 503:
      return "overloaded_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

}  // namespace

OrderedJson ApiError::body() const {
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? OrderedJson(nullptr) : OrderedJson(text);
  };
  return {{"error",
           {{"message", what()},
            {"type", type_of(status_)},
            {"param", text_or_null(param_)},
            {"code", text_or_null(code_)}}}};
}

ApiError api_error_of(const Error& error) {
  switch (error.code()) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnsupported:
    case ErrorCode::kCorruptData:
      return {400, error.what()};
    default:
      return {500, "the server cannot carry this out now"};
  }
}

}  // namespace alambic
