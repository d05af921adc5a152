// config.json: whatever the bytes, a valid configuration or one Error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "alambic/models/family.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alambic;
  try {
    const Json json = parse_json({reinterpret_cast<const char*>(data), size}, "fuzz");
    validate(family_of(json, "fuzz").read_config(json, "fuzz"), "fuzz", ErrorCode::kCorruptData);
  } catch (const Error&) {  // the only way out that a user may meet
  }
  return 0;
}
