// Any bytes as a safetensors file: either an Error or entries that lie inside the bytes.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "alambic/base/error.h"
#include "alambic/formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto file = alambic::SafetensorsFile::parse(std::as_bytes(std::span(data, size)), "fuzz");
    size_t total = 0;
    for (const alambic::TensorEntry& entry : file.entries()) {
      total += entry.bytes.size();
      ALAMBIC_CHECK(file.find(entry.name) == &entry);
      const bool floats = entry.dtype == alambic::DType::kF32 ||
                          entry.dtype == alambic::DType::kF16 ||
                          entry.dtype == alambic::DType::kBf16;
      if (!floats) continue;
      std::vector<float> values(static_cast<size_t>(alambic::element_count(entry.shape)));
      alambic::to_floats(entry, values);
    }
    ALAMBIC_CHECK(total <= size);
  } catch (const alambic::Error&) {
  }
  return 0;
}
