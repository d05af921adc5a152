// Any bytes as the file of a linear classifier: either an Error or one whose probabilities are
// numbers.
#include <cstddef>
#include <cstdint>
#include <span>

#include "alambic/base/error.h"
#include "alambic/eval/linear_classifier.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto model =
        alambic::LinearClassifier::parse(std::as_bytes(std::span(data, size)), "fuzz");
    for (const char* text : {"", "where is my parcel?", "\xc3\xa9t\xc3\xa9 \xff"}) {
      for (const double log : model.log_probabilities(text)) ALAMBIC_CHECK(log <= 1e-6);
    }
  } catch (const alambic::Error&) {
  }
  return 0;
}
