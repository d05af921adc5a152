#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>

#include "alambic/base/file.h"
#include "alambic/base/json.h"
#include "alambic/base/progress.h"
#include "alambic/base/rng.h"
#include "alambic/base/sha256.h"

namespace alambic {
namespace {

std::string scratch(const char* name) {
  return (std::filesystem::temp_directory_path() / (std::string("alambic_base_") + name)).string();
}

TEST(Rng, StreamsDifferAndRepeat) {
  Rng a(7, 1), b(7, 1), c(7, 2);
  EXPECT_EQ(a.next(), b.next());
  EXPECT_NE(a.next(), c.next());
}

TEST(Rng, UniformHasTheMomentsOfItsLaw) {
  Rng rng(3);
  double sum = 0, squares = 0;
  constexpr int kDraws = 200000;
  for (int i = 0; i < kDraws; ++i) {
    const double u = rng.uniform();
    sum += u;
    squares += u * u;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.005);
  EXPECT_NEAR(squares / kDraws, 1.0 / 3, 0.005);
}

TEST(Rng, RestoreContinuesTheSequence) {
  Rng a(5);
  a.next();
  Rng b;
  b.restore(a.key(), a.counter());
  EXPECT_EQ(a.next(), b.next());
}

TEST(File, AtomicWriteReplacesAndAbandonedWriteLeavesTheOldContent) {
  const std::string path = scratch("atomic");
  write_file_atomic(path, "old");
  {
    AtomicFile file(path);
    file.write("half", 4);
  }
  EXPECT_EQ(read_file(path), "old");
  write_file_atomic(path, "new");
  EXPECT_EQ(read_file(path), "new");
}

TEST(File, MissingFileNamesItself) {
  try {
    read_file("/nonexistent/file");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(std::string(error.what()).find("/nonexistent/file"), std::string::npos);
  }
}

TEST(File, FullDiskIsAnErrorNotACrash) {
  if (!file_exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  EXPECT_THROW(
      {
        AtomicFile file("/dev/full/x");
        file.write("x", 1);
      },
      Error);
}

TEST(File, TruncatedGzipIsRefused) {
  const std::string path = scratch("bad.gz");
  write_file_atomic(path, std::string("\x1f\x8b\x08\x00\x00\x00", 6));
  EXPECT_THROW(read_maybe_gzip(path), Error);
}

TEST(File, LinesLoseCarriageReturns) {
  EXPECT_EQ(split_lines("a\r\nb\n\nc"), (std::vector<std::string_view>{"a", "b", "", "c"}));
  EXPECT_TRUE(split_lines("").empty());
}

TEST(Json, DeepNestingIsRefusedWithoutRecursion) {
  EXPECT_THROW(parse_json(std::string(100000, '['), "deep"), Error);
}

TEST(Json, RequireNamesTheKey) {
  const Json value = parse_json(R"({"a": "x"})", "t.json");
  EXPECT_EQ(require<std::string>(value, "a", "t.json"), "x");
  EXPECT_THROW(require<int>(value, "a", "t.json"), Error);
  EXPECT_EQ(optional<int>(value, "b", 4, "t.json"), 4);
}

TEST(Json, IntegersThatDoNotFitAreRefused) {
  const Json value = parse_json(R"({"a": 4294967363, "b": 1e300, "c": 1.5, "d": -7})", "t.json");
  EXPECT_THROW(require<int>(value, "a", "t.json"), Error);
  EXPECT_THROW(require<int>(value, "b", "t.json"), Error);
  EXPECT_THROW(require<int>(value, "c", "t.json"), Error);
  EXPECT_THROW(require<uint64_t>(value, "d", "t.json"), Error);
  EXPECT_EQ(require<int>(value, "d", "t.json"), -7);
}

TEST(Progress, DurationsReadNaturally) {
  EXPECT_EQ(format_duration(12.4), "12 s");
  EXPECT_EQ(format_duration(200), "3 min 20 s");
  EXPECT_EQ(format_duration(3900), "1 h 05 min");
}

// What sha256sum prints of nothing, and of "abc" (FIPS 180-2).
TEST(Sha256, IsThatOfOtherTools) {
  EXPECT_EQ(sha256_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const std::string path = testing::TempDir() + "alambic_sha256";
  write_file_atomic(path, "abc");
  EXPECT_EQ(sha256_of_file(path),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_THROW(sha256_of_file(path + ".missing"), Error);
}

}  // namespace
}  // namespace alambic
