// Any bytes as CSV: with the usual columns and with named ones.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "alambic/base/error.h"
#include "alambic/data/readers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const char* column : {"", "text"}) {
    try {
      alambic::parse_csv(text, "fuzz", column, "");
    } catch (const alambic::Error&) {
    }
  }
  return 0;
}
