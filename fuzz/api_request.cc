// Any bytes as the body of a request to the server.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "alambic/serve/api_error.h"
#include "alambic/serve/api_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  try {
    alambic::parse_completion_request(body);
  } catch (const alambic::ApiError& error) {
    alambic::dump_json(error.body());
  }
  try {
    alambic::parse_chat_request(body);
  } catch (const alambic::ApiError& error) {
    alambic::dump_json(error.body());
  }
  return 0;
}
