// Any bytes as a model in a GGUF file: either an Error or a model with finite shapes, no larger
// than its file allows.
#include <cstddef>
#include <cstdint>
#include <span>

#include "alambic/models/gguf_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alambic;
  try {
    const auto file = GgufFile::parse(std::as_bytes(std::span(data, size)), "fuzz");
    const LoadedModel loaded = load_gguf(file, "fuzz", std::nullopt);
    // A number takes four bits at least, and at most every second one is missing.
    ALAMBIC_CHECK(loaded.model->config().parameters() <= static_cast<int64_t>(4 * size + 1024));
  } catch (const Error&) {  // the only way out that a user may meet
  }
  return 0;
}
