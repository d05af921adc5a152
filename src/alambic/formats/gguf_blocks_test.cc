// Blocks against recorded numbers of the package gguf: tests/golden/make_gguf_goldens.py.
#include "alambic/formats/gguf_blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "alambic/base/error.h"
#include "alambic/base/file.h"

namespace alambic {
namespace {

// Takes a recorded file apart.
class Record {
 public:
  explicit Record(const char* name)
      : text_(read_file(std::string(ALAMBIC_GOLDEN_DIR "/gguf/") + name)) {}
  std::span<const std::byte> bytes(size_t size) {
    const auto all = std::as_bytes(std::span(text_));
    at_ += size;
    return at_ <= all.size() ? all.subspan(at_ - size, size) : std::span<const std::byte>();
  }
  std::vector<float> floats(size_t count) {
    const auto from = bytes(count * sizeof(float));
    std::vector<float> values(from.size() / sizeof(float));
    std::memcpy(values.data(), from.data(), from.size());
    return values;
  }
  std::span<const std::byte> blocks(GgmlType type, size_t count) {
    const GgmlBlock block = ggml_block(type);
    return bytes(count / static_cast<size_t>(block.elements) * static_cast<size_t>(block.bytes));
  }
  bool at_end() const { return at_ == text_.size(); }

 private:
  std::string text_;
  size_t at_ = 0;
};

// To the bit.
TEST(GgufBlocks, EveryTypeReadsAsTheReferenceReadsIt) {
  constexpr size_t kCount = 256;
  Record record("blocks.bin");
  for (const GgmlType type : {GgmlType::kF32, GgmlType::kF16, GgmlType::kBf16, GgmlType::kQ8_0,
                              GgmlType::kQ4_0, GgmlType::kQ4_1, GgmlType::kQ5_0, GgmlType::kQ5_1,
                              GgmlType::kQ4_K, GgmlType::kQ5_K, GgmlType::kQ6_K}) {
    const auto blocks = record.blocks(type, kCount);
    const std::vector<float> want = record.floats(kCount);
    ASSERT_EQ(want.size(), kCount);
    std::vector<float> got(kCount);
    from_ggml(type, blocks, got);
    EXPECT_EQ(got, want) << ggml_type_name(type);
  }
  EXPECT_TRUE(record.at_end());
}

// To the bit, ties and vanishing scales included.
TEST(GgufBlocks, RoundingIsTheReferences) {
  constexpr size_t kCount = 512;
  Record record("rounded.bin");
  const std::vector<float> values = record.floats(kCount);
  ASSERT_EQ(values.size(), kCount);
  for (const GgmlType type : {GgmlType::kQ8_0, GgmlType::kQ4_0, GgmlType::kF16, GgmlType::kBf16}) {
    const auto want = record.blocks(type, kCount);
    const std::vector<std::byte> got = to_ggml(type, values, "x");
    EXPECT_TRUE(std::equal(got.begin(), got.end(), want.begin(), want.end()))
        << ggml_type_name(type);
  }
  EXPECT_TRUE(record.at_end());
}

TEST(GgufBlocks, FloatsComeBackAsTheyWere) {
  const std::vector<float> values = {0.1F, -3e38F, 1e-40F};
  std::vector<float> again(values.size());
  from_ggml(GgmlType::kF32, to_ggml(GgmlType::kF32, values, "x"), again);
  EXPECT_EQ(again, values);
}

TEST(GgufBlocks, NumbersBeyondTheTypeAreRefusedByName) {
  const auto refusal = [](GgmlType type, float value) -> std::string {
    std::vector<float> values(32, 1.0F);
    values[7] = value;
    try {
      to_ggml(type, values, "m.gguf: tensor t");
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal(GgmlType::kF16, 7e4F),
            "[m.gguf: tensor t] holds 70000; F16 holds numbers up to 65504");
  EXPECT_EQ(refusal(GgmlType::kF16, 65504), "accepted");
  EXPECT_NE(refusal(GgmlType::kQ8_0, 1e7F), "accepted");
  EXPECT_NE(refusal(GgmlType::kQ4_0, -1e6F), "accepted");
  for (const GgmlType type : {GgmlType::kF32, GgmlType::kBf16, GgmlType::kQ8_0}) {
    EXPECT_NE(refusal(type, std::numeric_limits<float>::quiet_NaN()), "accepted");
    EXPECT_NE(refusal(type, std::numeric_limits<float>::infinity()), "accepted");
  }
}

}  // namespace
}  // namespace alambic
