// Any bytes as a GGUF file: either an Error or values and tensors that lie inside the bytes.
#include <cstddef>
#include <cstdint>
#include <span>

#include "alambic/base/error.h"
#include "alambic/formats/gguf.h"

namespace {

// Asks for one value in every way; the wrong ones must refuse.
void read_every_way(const alambic::GgufFile& file, std::string_view key) {
  const auto attempt = [](auto&& call) {
    try {
      call();
    } catch (const alambic::Error&) {
    }
  };
  attempt([&] { file.require<bool>(key); });
  attempt([&] { file.require<uint32_t>(key); });
  attempt([&] { file.require<double>(key); });
  attempt([&] { file.require<std::string_view>(key); });
  attempt([&] { file.require_array<int32_t>(key); });
  attempt([&] { file.require_array<float>(key); });
  attempt([&] {
    size_t sum = 0;
    for (const std::string_view text : file.require_array<std::string_view>(key)) {
      for (const char c : text) sum += static_cast<unsigned char>(c);
    }
    ALAMBIC_CHECK(sum < SIZE_MAX);
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto file = alambic::GgufFile::parse(std::as_bytes(std::span(data, size)), "fuzz");
    for (const auto& [key, value] : file.metadata()) {
      ALAMBIC_CHECK(value.bytes.size() <= size);
      read_every_way(file, key);
    }
    size_t total = 0;
    for (const alambic::GgufTensor& tensor : file.tensors()) {
      total += tensor.bytes.size();
      ALAMBIC_CHECK(file.find_tensor(tensor.name) == &tensor);
    }
    ALAMBIC_CHECK(total <= size);
  } catch (const alambic::Error&) {
  }
  return 0;
}
