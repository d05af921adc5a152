#include "alambic/formats/gguf.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "alambic/base/error.h"

namespace alambic {
namespace {

// Spells a file field by field, as the specification has them.
class Writer {
 public:
  template <class T>
  Writer& number(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Writer& string(std::string_view text) {
    number<uint64_t>(text.size());
    out_ += text;
    return *this;
  }
  Writer& header(uint64_t tensors, uint64_t pairs, uint32_t version = 3) {
    out_ += "GGUF";
    return number<uint32_t>(version).number(tensors).number(pairs);
  }
  Writer& key(std::string_view name, GgufType type) {
    return string(name).number(static_cast<uint32_t>(type));
  }
  Writer& array(std::string_view name, GgufType element, uint64_t count) {
    return key(name, GgufType::kArray).number(static_cast<uint32_t>(element)).number(count);
  }
  Writer& tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                 uint64_t offset) {
    string(name).number<uint32_t>(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) number(dim);
    return number(type).number(offset);
  }
  Writer& pad(size_t alignment = 32) {
    out_.resize((out_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  Writer& bytes(size_t count) {
    for (size_t i = 0; i < count; ++i) out_ += static_cast<char>(i);
    return *this;
  }
  const std::string& done() const { return out_; }

 private:
  std::string out_;
};

std::span<const std::byte> view(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string refusal(const std::string& file) {
  try {
    GgufFile::parse(view(file), "x.gguf");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

std::string sample() {
  Writer writer;
  writer.header(2, 6)
      .key("a.count", GgufType::kUint32)
      .number<uint32_t>(7)
      .key("a.negative", GgufType::kInt64)
      .number<int64_t>(-5)
      .key("a.scale", GgufType::kFloat32)
      .number(0.5F)
      .key("a.flag", GgufType::kBool)
      .number<uint8_t>(1)
      .key("a.name", GgufType::kString)
      .string("h\xC3\xA9")
      .array("a.words", GgufType::kString, 3)
      .string("x")
      .string("")
      .string("yz")
      .tensor("t", {4, 2}, 0, 0)
      .tensor("q", {32, 3}, 8, 32)
      .pad()
      .bytes(32 + 102);
  return writer.done();
}

TEST(Gguf, ReadsTypedValuesAndPlacesTensors) {
  const std::string bytes = sample();
  const GgufFile file = GgufFile::parse(view(bytes), "x");
  EXPECT_EQ(file.version(), 3U);
  EXPECT_EQ(file.require<uint32_t>("a.count"), 7U);
  EXPECT_EQ(file.require<int64_t>("a.count"), 7);
  EXPECT_EQ(file.require<int32_t>("a.negative"), -5);
  EXPECT_EQ(file.require<double>("a.scale"), 0.5);
  EXPECT_TRUE(file.require<bool>("a.flag"));
  EXPECT_EQ(file.require<std::string_view>("a.name"), "h\xC3\xA9");
  EXPECT_EQ(file.require_array<std::string_view>("a.words"),
            (std::vector<std::string_view>{"x", "", "yz"}));
  EXPECT_EQ(file.optional<uint32_t>("a.absent", 9), 9U);
  EXPECT_EQ(file.find("a.absent"), nullptr);
  const GgufTensor* q = file.find_tensor("q");
  ASSERT_NE(q, nullptr);
  EXPECT_EQ(q->dims, (std::vector<int64_t>{32, 3}));
  EXPECT_EQ(file.bytes_of(*q).size(), 3U * 34);
  EXPECT_EQ(std::to_integer<int>(file.bytes_of(*q)[0]), 32);
  EXPECT_EQ(file.find_tensor("none"), nullptr);
}

TEST(Gguf, WrongKindsAndRangesNameFileAndKey) {
  const std::string bytes = sample();
  const GgufFile file = GgufFile::parse(view(bytes), "x.gguf");
  const auto message = [](auto&& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message([&] { file.require<uint32_t>("a.negative"); }),
            "[x.gguf: key \"a.negative\"] got int64, want an integer in range");
  EXPECT_EQ(message([&] { file.require<bool>("a.none"); }), "[x.gguf] key \"a.none\" is missing");
  EXPECT_EQ(message([&] { file.require_array<float>("a.words"); }),
            "[x.gguf: key \"a.words\"] element 0; got string, want a floating-point number");
  EXPECT_EQ(message([&] { file.require_array<int32_t>("a.count"); }),
            "[x.gguf: key \"a.count\"] got uint32, want an array");
}

TEST(Gguf, UnknownTensorTypeIsRefusedWhenItsBytesAreWanted) {
  Writer writer;
  writer.header(1, 0).tensor("t", {256}, 10, 0).pad().bytes(84);
  const GgufFile file = GgufFile::parse(view(writer.done()), "x.gguf");
  try {
    file.bytes_of(file.tensors()[0]);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_NE(std::string(error.what()).find("\"t\"] holds Q2_K"), std::string::npos);
  }
}

TEST(Gguf, AlignmentOfTheFileIsHonoured) {
  Writer writer;
  writer.header(1, 1)
      .key("general.alignment", GgufType::kUint32)
      .number<uint32_t>(256)
      .tensor("t", {1}, 0, 0)
      .pad(256)
      .number(2.5F);
  const GgufFile file = GgufFile::parse(view(writer.done()), "x");
  float value = 0;
  std::memcpy(&value, file.bytes_of(file.tensors()[0]).data(), sizeof value);
  EXPECT_EQ(value, 2.5F);
}

TEST(Gguf, HostileFilesAreRefusedWithTheReason) {
  EXPECT_EQ(refusal(sample()), "accepted");
  const uint64_t huge = uint64_t{1} << 62;
  const auto one_tensor = [](std::string_view name, const std::vector<uint64_t>& dims,
                             uint32_t type, uint64_t offset) {
    return Writer().header(1, 0).tensor(name, dims, type, offset).pad().bytes(64).done();
  };
  const struct {
    std::string file, reason;
  } cases[] = {
      {"", "not a GGUF file"},
      {"PK\3\4 and so on", "not a GGUF file"},
      {Writer().header(0, 0, 1).done(), "version 1"},
      {Writer().header(0, 0, 3U << 24).done(), "version 3, big-endian"},
      {Writer().header(huge, 0).done(), "tensors in a file"},
      {Writer().header(0, 1'000'000'000).done(), "metadata keys in a file"},
      {Writer().header(0, 1).key("k", GgufType{13}).bytes(8).done(), "value type; got 13"},
      {Writer().header(0, 1).number(huge).bytes(40).done(), "truncated"},
      {Writer().header(0, 1).array("k", GgufType::kString, huge).bytes(8).done(), "elements in"},
      {Writer().header(0, 1).array("k", GgufType::kUint64, huge).bytes(8).done(), "elements in"},
      {Writer().header(0, 1).key("k", GgufType::kBool).bytes(3).done(), "accepted"},
      {Writer().header(0, 1).key("k", GgufType::kBool).number<uint8_t>(2).done(), "truth value"},
      {Writer().header(0, 1).key("k\n", GgufType::kInt8).bytes(1).done(), "printable ASCII"},
      {Writer()
           .header(0, 2)
           .key("k", GgufType::kInt8)
           .bytes(1)
           .key("k", GgufType::kInt8)
           .bytes(1)
           .done(),
       "occurs twice"},
      {Writer()
           .header(0, 1)
           .key("general.alignment", GgufType::kUint32)
           .number<uint32_t>(24)
           .done(),
       "power of two"},
      {one_tensor("t", {16}, 0, 0), "accepted"},
      {one_tensor("t", {17}, 0, 0), "truncated?"},
      {one_tensor("t", {16}, 0, 32), "truncated?"},
      {one_tensor("t", {16}, 0, huge), "truncated?"},
      {one_tensor("t", {4}, 0, 4), "no multiple of 32"},
      {one_tensor("t", {16}, 8, 0), "multiple of 32 for Q8_0"},
      {one_tensor("t", {huge, 4}, 0, 0), "too many elements"},
      {one_tensor("t", {huge}, 0, 0), "too many elements"},
      {one_tensor("t", {UINT64_MAX}, 0, 0), "too many elements"},
      {one_tensor("t", {huge, 0}, 0, 0), "too many elements"},
      {one_tensor("t", {}, 0, 0), "number of dimensions"},
      {one_tensor("t", {1, 1, 1, 1, 1}, 0, 0), "number of dimensions"},
      {one_tensor("\xFF\x1B[31m", {1}, 0, 0), "bytes of UTF-8"},
      {Writer().header(2, 0).tensor("t", {1}, 0, 0).tensor("t", {1}, 0, 32).pad().bytes(64).done(),
       "\"t\" occurs twice"},
      {Writer().header(2, 0).tensor("a", {9}, 0, 0).tensor("b", {1}, 0, 32).pad().bytes(64).done(),
       "\"b\"] overlaps tensor \"a\""},
  };
  for (const auto& item : cases) {
    const std::string got = refusal(item.file);
    EXPECT_NE(got.find(item.reason), std::string::npos) << item.reason << ": " << got;
    EXPECT_EQ(got.find('\x1B'), std::string::npos);
  }
  Writer nested;
  nested.header(0, 1).array("k", GgufType::kArray, 1);
  for (int i = 0; i < 50; ++i) {
    nested.number(static_cast<uint32_t>(GgufType::kArray)).number<uint64_t>(1);
  }
  EXPECT_NE(refusal(nested.done()).find("nested"), std::string::npos);
}

TEST(Gguf, EveryTruncationOfAGoodFileIsRefused) {
  const std::string whole = sample();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(refusal(whole.substr(0, size)), "accepted") << size;
  }
}

TEST(Gguf, RealVocabularyHoldsItsTokens) {
  const char* root = std::getenv("ALAMBIC_DATA");
  const std::string path =
      std::string(root != nullptr ? root : ALAMBIC_SOURCE_DIR "/../shared/data") +
      "/tokenizer_vectors/ggml-vocab-gpt-2.gguf";
  if (!file_exists(path)) GTEST_SKIP() << path << " is not here";
  const GgufFile file(path);
  EXPECT_EQ(file.require<std::string_view>("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(file.require_array<std::string_view>("tokenizer.ggml.tokens").size(), 50257U);
  EXPECT_EQ(file.require_array<int32_t>("tokenizer.ggml.token_type").size(), 50257U);
  EXPECT_TRUE(file.tensors().empty());
}

}  // namespace
}  // namespace alambic
