#include "alambic/formats/gguf_writer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "alambic/base/error.h"

namespace alambic {
namespace {

class GgufWriting : public testing::Test {
 protected:
  std::string path_ =
      testing::TempDir() + "alambic_gguf_writer_" + std::to_string(::getpid()) + ".gguf";
  std::vector<float> three_ = {1.5F, -2, 0.25F};
  std::vector<std::byte> block_ = std::vector<std::byte>(34, std::byte{7});
  const std::vector<GgufTensorPlan> plan_ = {{"a", GgmlType::kF32, {3}},
                                             {"b", GgmlType::kQ8_0, {32, 1}}};
  void TearDown() override { std::filesystem::remove(path_); }
};

// GgufFile is checked against files of the reference implementation by tests of its own.
TEST_F(GgufWriting, ReadsBackAsItWasWritten) {
  GgufMetadata metadata;
  metadata.put("n", uint32_t{7});
  metadata.put("i", int32_t{-7});
  metadata.put("x", 0.5F);
  metadata.put("yes", true);
  metadata.put("text", "h\xC3\xA9");
  metadata.put("words", std::span<const std::string>(std::vector<std::string>{"a", "", "bc"}));
  metadata.put("ids", std::span<const int32_t>(std::vector<int32_t>{3, -1}));
  metadata.put("scores", std::span<const float>(std::vector<float>{0.5F}));
  metadata.put("bytes", std::span<const int8_t>(std::vector<int8_t>{-128, 1}));
  GgufWriter writer(path_, metadata, plan_);
  writer.append(std::as_bytes(std::span(three_)));
  writer.append(block_);
  writer.commit();
  const GgufFile file(path_);
  EXPECT_EQ(file.version(), 3U);
  EXPECT_EQ(file.metadata().size(), 9U);
  EXPECT_EQ(file.require<uint32_t>("n"), 7U);
  EXPECT_EQ(file.require<int32_t>("i"), -7);
  EXPECT_EQ(file.require<float>("x"), 0.5F);
  EXPECT_TRUE(file.require<bool>("yes"));
  EXPECT_EQ(file.require<std::string_view>("text"), "h\xC3\xA9");
  EXPECT_EQ(file.require_array<std::string_view>("words"),
            (std::vector<std::string_view>{"a", "", "bc"}));
  EXPECT_EQ(file.require_array<int32_t>("ids"), (std::vector<int32_t>{3, -1}));
  EXPECT_EQ(file.require_array<float>("scores"), std::vector<float>{0.5F});
  EXPECT_EQ(file.require_array<int32_t>("bytes"), (std::vector<int32_t>{-128, 1}));
  ASSERT_EQ(file.tensors().size(), 2U);
  EXPECT_EQ(file.tensors()[1].dims, (std::vector<int64_t>{32, 1}));
  EXPECT_EQ(file.tensors()[1].type, GgmlType::kQ8_0);
  const auto a = file.bytes_of(file.tensors()[0]), b = file.bytes_of(file.tensors()[1]);
  EXPECT_TRUE(std::equal(a.begin(), a.end(), std::as_bytes(std::span(three_)).begin()));
  EXPECT_TRUE(std::equal(b.begin(), b.end(), block_.begin(), block_.end()));
}

TEST_F(GgufWriting, WithoutCommitNothingRemains) {
  { GgufWriter(path_, GgufMetadata(), plan_).append(std::as_bytes(std::span(three_))); }
  EXPECT_FALSE(std::filesystem::exists(path_));
  for (const auto& entry : std::filesystem::directory_iterator(testing::TempDir()))
    EXPECT_FALSE(entry.path().string().starts_with(path_)) << entry.path();
}

}  // namespace
}  // namespace alambic
