#include "alambic/formats/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "alambic/base/error.h"

namespace alambic {
namespace {

std::string scratch(const char* name) {
  const auto file = fmt::format("alambic_formats_{}_{}", ::getpid(), name);
  return (std::filesystem::temp_directory_path() / file).string();
}

std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string with_header(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file + header + data;
}

// The message of the Error that parsing this header and data gives.
std::string refusal(const std::string& header, const std::string& data) {
  const std::string file = with_header(header, data);
  try {
    SafetensorsFile::parse(as_bytes(file), "x.safetensors");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

std::vector<float> floats(const SafetensorsFile& file, const char* name) {
  const TensorEntry* entry = file.find(name);
  if (entry == nullptr) return {};
  std::vector<float> values(static_cast<size_t>(element_count(entry->shape)));
  to_floats(*entry, values);
  return values;
}

const char* const kGolden = ALAMBIC_GOLDEN_DIR "/small.safetensors";

TEST(Safetensors, ReadsWhatTheReferenceWriterWrote) {
  const SafetensorsFile file(kGolden);
  ASSERT_EQ(file.entries().size(), 4U);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.find("layers.0.weight")->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(floats(file, "layers.0.weight"),
            (std::vector<float>{-2.5F, -1.5F, -0.5F, 0.5F, 1.5F, 2.5F}));
  EXPECT_EQ(floats(file, "half"), (std::vector<float>{1, -2, 65504, 0x1p-24F}));
  EXPECT_EQ(floats(file, "brain"), (std::vector<float>{1, -3.140625F, 0x1p-133F}));
  EXPECT_EQ(file.find("scalar")->dtype, DType::kI64);
  EXPECT_TRUE(file.find("scalar")->shape.empty());
  EXPECT_EQ(file.find("absent"), nullptr);
}

TEST(Safetensors, WritesTheSameBytesAsTheReferenceWriter) {
  const SafetensorsFile file(kGolden);
  const std::string path = scratch("same");
  write_safetensors(path, file.entries(), file.metadata());
  EXPECT_EQ(read_file(path), read_file(kGolden));
  std::filesystem::remove(path);
}

TEST(Safetensors, PackedFloatsComeBackInEveryFloatType) {
  const std::vector<float> values = {0, -1.5F, 0.25F, 1024};  // exact in all three types
  const std::string path = scratch("packed");
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBf16}) {
    const auto bytes = pack_floats(values, dtype);
    const TensorEntry entry{"t", dtype, {4}, bytes};
    write_safetensors(path, std::span(&entry, 1));
    EXPECT_EQ(floats(SafetensorsFile(path), "t"), values);
  }
  std::filesystem::remove(path);
}

TEST(Safetensors, EmptyTensorsAndEmptyFilesAreLegal) {
  const std::string file =
      with_header(R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                  R"("a":{"dtype":"F32","shape":[0,9000000000000000000,9],"data_offsets":[2,2]}})",
                  "xy");
  EXPECT_EQ(SafetensorsFile::parse(as_bytes(file), "x").entries().size(), 2U);
  const std::string none = with_header("{}", "");
  EXPECT_TRUE(SafetensorsFile::parse(as_bytes(none), "x").entries().empty());
}

TEST(Safetensors, HostileHeadersAreRefusedWithTheReason) {
  const auto one = [](const char* fields) { return fmt::format(R"({{"a":{{{}}}}})", fields); };
  const std::string good = one(R"("dtype":"U8","shape":[4],"data_offsets":[0,4])");
  EXPECT_EQ(refusal(good, "abcd"), "accepted");
  const struct {
    std::string header, data, reason;
  } cases[] = {
      {good, "abc", "truncated"},
      {good, "abcde", "belong to none"},
      {"[]", "", "want an object"},
      {"{", "", "not valid JSON"},
      {"{\"a\":1}", "", "want an object"},
      {one(R"("dtype":"U8","shape":[4],"data_offsets":[4,0])"), "abcd", "[begin, end]"},
      {one(R"("dtype":"U8","shape":[4],"data_offsets":[0,4,4])"), "abcd", "[begin, end]"},
      {one(R"("dtype":"U8","shape":[4],"data_offsets":[0,-4])"), "abcd", "integers from 0"},
      {one(R"("dtype":"U8","shape":[4.0],"data_offsets":[0,4])"), "abcd", "integers from 0"},
      {one(R"("dtype":"U8","shape":[5],"data_offsets":[0,4])"), "abcd", "need 5 bytes; got 4"},
      {one(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,4])"), "abcd",
       "too many"},
      {one(R"("dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,4])"), "abcd",
       "too many"},
      {one(R"("dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,4])"), "abcd",
       "integers from 0"},
      {one(R"("dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4])"), "abcd", "not supported"},
      {one(R"("dtype":"U8","data_offsets":[0,4])"), "abcd", "\"shape\" is not a list"},
      {one(R"("dtype":"U8","dtype":"I8","shape":[4],"data_offsets":[0,4])"), "abcd", "twice"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
       R"("a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       "abcd", "twice"},
      {R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
       R"("b":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}})",
       "abcd", "overlaps"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
       R"("b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}})",
       "abcd", "hole"},
      {R"({"__metadata__":{"k":1}})", "", "want a string"},
      {"{\"a\":" + std::string(100000, '['), "", "too deep"},
      {R"({"a":1e999})", "", "out of range"},
  };
  for (const auto& item : cases) {
    const std::string got = refusal(item.header, item.data);
    EXPECT_NE(got.find(item.reason), std::string::npos) << item.header.substr(0, 80) << ": " << got;
    EXPECT_NE(got.find("x.safetensors"), std::string::npos) << got;
  }
}

TEST(Safetensors, LyingLengthsAreRefusedBeforeAnythingIsAllocated) {
  for (const uint64_t length : {uint64_t{3}, uint64_t{1} << 40, UINT64_MAX}) {
    std::string file(10, '\0');
    std::memcpy(file.data(), &length, sizeof length);
    EXPECT_THROW(SafetensorsFile::parse(as_bytes(file), "x"), Error);
  }
  EXPECT_THROW(SafetensorsFile::parse(as_bytes(std::string("1234567")), "x"), Error);
}

TEST(Safetensors, EveryTruncationOfAGoodFileIsRefused) {
  const std::string whole = read_file(kGolden);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(SafetensorsFile::parse(as_bytes(whole.substr(0, size)), "x"), Error) << size;
  }
}

TEST(Safetensors, WriterRefusesBadEntriesAndKeepsTheOldFile) {
  const std::string path = scratch("old");
  write_file_atomic(path, "old");
  const std::string four = "abcd";
  const TensorEntry good{"a", DType::kU8, {4}, as_bytes(four)};
  const TensorEntry wrong{"a", DType::kF32, {4}, as_bytes(four)};
  const TensorEntry reserved{"__metadata__", DType::kU8, {4}, as_bytes(four)};
  EXPECT_THROW(write_safetensors(path, std::vector{good, good}), Error);
  EXPECT_THROW(write_safetensors(path, std::vector{wrong}), Error);
  EXPECT_THROW(write_safetensors(path, std::vector{reserved}), Error);
  EXPECT_EQ(read_file(path), "old");
  std::filesystem::remove(path);
}

TEST(Safetensors, RealModelHoldsTheParametersOfItsName) {
  const char* root = std::getenv("ALAMBIC_DATA");
  const std::string path =
      std::string(root != nullptr ? root : ALAMBIC_SOURCE_DIR "/../shared/data") +
      "/weights_tinystories656K/model.safetensors";
  if (!file_exists(path)) GTEST_SKIP() << path << " is not here";
  const SafetensorsFile file(path);
  int64_t parameters = 0;
  for (const TensorEntry& entry : file.entries()) parameters += element_count(entry.shape);
  EXPECT_GT(parameters, 600'000);
  EXPECT_LT(parameters, 700'000);
  EXPECT_NE(file.find("model.norm.weight"), nullptr);
}

}  // namespace
}  // namespace alambic
