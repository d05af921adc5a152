#include <gtest/gtest.h>
#include <zlib.h>

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

std::string gzip_of(std::string_view text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(1000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST(File, GzipMembersAndPaddingAreReadToTheEnd) {
  const std::string path = scratch("members.gz");
  write_file_atomic(path, gzip_of("one\n") + gzip_of("two\n") + std::string(512, '\0'));
  EXPECT_EQ(read_maybe_gzip(path), "one\ntwo\n");
  write_file_atomic(path, gzip_of("one\n") + std::string(512, '\0') + gzip_of("two\n"));
  EXPECT_EQ(read_maybe_gzip(path), "one\ntwo\n");
  write_file_atomic(path, gzip_of("one\n") + "rubbish");
  EXPECT_THROW(read_maybe_gzip(path), Error);
  write_file_atomic(path, gzip_of("one\n") + gzip_of("two\n").substr(0, 12));
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

std::string refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Json, OrderAndSpellingGoThroughUnchanged) {
  const std::string text =
      R"({"z":12345678901234567890123,"a":[1e3,1000,1.0,1.10,-0,0.1,-7,18446744073709551615],)"
      R"("m":{"y":"\u00e9","b":null},"n":NaN,"i":-Infinity,"x":1E+2})";
  EXPECT_EQ(dump_json(parse_ordered_json(text, "t")),
            R"({"z":12345678901234567890123,"a":[1e3,1000,1.0,1.10,-0,0.1,-7,)"
            R"(18446744073709551615],"m":{"y":"é","b":null},"n":NaN,"i":-Infinity,"x":1E+2})");
  EXPECT_EQ(dump_json(parse_ordered_json("{\"a\":[1e3,{}],\"b\":2}", "t"), 2),
            "{\n  \"a\": [\n    1e3,\n    {}\n  ],\n  \"b\": 2\n}");
}

TEST(Json, NumbersThatOnlyPythonReadsAreKeptAndRefusedWhereTheyAreUsed) {
  const Json value = parse_unique_json(
      R"({"a": Infinity, "b": [NaN], "c": 1e999, "d": 100000000000000000000, "e": 1e-999})", "c");
  EXPECT_EQ(refusal([&] { require<double>(value, "a", "c"); }),
            "[c] key \"a\" is Infinity; want a finite number");
  EXPECT_EQ(refusal([&] { require<float>(value, "c", "c"); }),
            "[c] key \"c\" is 1e999; want a finite number");
  EXPECT_EQ(refusal([&] { require<int>(value, "d", "c"); }),
            "[c] key \"d\" is 100000000000000000000; want an integer in range");
  EXPECT_EQ(require<double>(value, "d", "c"), 1e20);
  EXPECT_EQ(require<double>(value, "e", "c"), 0);
  EXPECT_EQ(dump_json(value.at("b")), "[NaN]");
}

TEST(Json, TextIsReadAsTheStandardHasIt) {
  const Json value =
      parse_json("\xef\xbb\xbf [\"\\ud83d\\ude00\\u00e9\\n\\/\", true, null ]\n", "t");
  EXPECT_EQ(value[0], "\xf0\x9f\x98\x80\xc3\xa9\n/");
  EXPECT_EQ(value.size(), 3U);
  EXPECT_EQ(parse_json(R"({"a":1,"a":2})", "t").at("a"), 2);
}

TEST(Json, WhatIsNotJsonIsToldApart) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "at byte 1: it is empty"},
      {"{\"a\": 1", "at byte 8: it ends in the middle"},
      {"{\"a\" 1}", "want a colon"},
      {"{a: 1}", "at byte 2: want a key in quotation marks"},
      {"[1,]", "at byte 4: want a value"},
      {"[1 2]", "want a comma or ]"},
      {"[01]", "begins with 0"},
      {"[1.]", "behind the decimal point"},
      {"[+1]", "want a value"},
      {"{} {}", "at byte 4: more text follows"},
      {"\"a", "at byte 1: a text does not end"},
      {"\"\\ud83d\"", "half of a surrogate pair"},
      {"\"\\ude00x\"", "half of a surrogate pair"},
      {"\"\\u12g4\"", "four hexadecimal digits"},
      {"\"\\x\"", "an unknown escape"},
      {"\"\t\"", "a control character"},
      {"\"\xe9t\xe9\"", "at byte 2: not UTF-8"},
      {"[\n1,\nx]", "at byte 6, line 3: want a value"},
      {"nul", "want a value"},
  };
  for (const auto& [text, want] : cases) {
    const std::string got = refusal([&, text = text] { parse_ordered_json(text, "f"); });
    EXPECT_TRUE(got.starts_with("[f") && got.find(want) != std::string::npos)
        << text << ": " << got;
  }
  EXPECT_EQ(refusal([] { parse_ordered_json(R"([{"a":1},{"b":1,"b":2}])", "f"); }),
            "[f: item 2] key \"b\" occurs twice in one object");
  std::string many = "{";
  for (int i = 0; i < 40; ++i) many += fmt::format("\"k{}\":{},", i, i);
  EXPECT_NE(refusal([&] { parse_ordered_json(many + "\"k3\":0}", "f"); }).find("\"k3\" occurs"),
            std::string::npos);
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
