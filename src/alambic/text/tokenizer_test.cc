#include "alambic/text/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/base/json.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

const std::string kGolden = std::string(ALAMBIC_GOLDEN_DIR) + "/";

std::string data_directory() {
  const char* given = std::getenv("ALAMBIC_DATA");
  return given != nullptr ? given : std::string(ALAMBIC_SOURCE_DIR) + "/../shared/data";
}

// What tests/golden/make_tokenizer_goldens.py recorded with Python's `tokenizers`.
void expect_recorded(const Tokenizer& tokenizer, const std::string& name) {
  const Json texts = read_json_file(kGolden + "tokenizer_texts.json");
  const Json rows = read_json_file(kGolden + "tokenizer_" + name + ".ids.json");
  ASSERT_EQ(texts.size(), rows.size());
  EncodeOptions bare;
  bare.special_prefix = false;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto text = texts[i].get<std::string>();
    const auto ids = rows[i].at("ids").get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer.encode(text), ids) << name << ": " << text;
    EXPECT_EQ(tokenizer.encode(text, bare), rows[i].value("bare", ids)) << name << ": " << text;
    const auto plain = rows[i].value("text", text);
    EXPECT_EQ(to_valid_utf8(tokenizer.decode(ids)), plain);
    EXPECT_EQ(to_valid_utf8(tokenizer.decode(ids, false)), rows[i].value("full", plain));
    StreamDecoder stream(tokenizer);
    std::string streamed;
    for (const TokenId id : ids) {
      const std::string piece = stream.push(id);
      EXPECT_EQ(valid_utf8_prefix(piece), piece.size());
      streamed += piece;
    }
    EXPECT_EQ(streamed + stream.finish(), to_valid_utf8(tokenizer.decode(ids)));
  }
}

class TokenizerGolden : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerGolden, EncodesAndDecodesAsTheReference) {
  const std::string name = GetParam();
  expect_recorded(Tokenizer::load(kGolden + "tokenizer_" + name + ".json"), name);
}

TEST_P(TokenizerGolden, StaysTheSameWhenSavedAndLoaded) {
  const std::string name = GetParam();
  const Tokenizer tokenizer = Tokenizer::load(kGolden + "tokenizer_" + name + ".json");
  const Tokenizer again = Tokenizer::from_json(tokenizer.to_json(), "saved");
  EXPECT_EQ(again.hash(), tokenizer.hash());
  expect_recorded(again, name);
}

INSTANTIATE_TEST_SUITE_P(Recorded, TokenizerGolden,
                         testing::Values("byte_level", "metaspace", "digits", "words", "unigram",
                                         "wordpiece", "affixes"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Tokenizer, PublishedTinyStoriesTokenizerEncodesAsTheReference) {
  const std::string directory = data_directory() + "/weights_tinystories656K";
  if (!std::filesystem::exists(directory)) GTEST_SKIP() << directory << " does not exist";
  const Tokenizer tokenizer = Tokenizer::load(directory);
  expect_recorded(tokenizer, "tinystories");
  EXPECT_EQ(tokenizer.vocab_size(), 2048);
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.eos(), 2);
  EXPECT_EQ(tokenizer.unk(), 0);
}

class SentencePieceGolden : public testing::TestWithParam<const char*> {};

TEST_P(SentencePieceGolden, EncodesAsTheReference) {
  const std::string stem = kGolden + "tokenizer_spm_" + GetParam();
  const Tokenizer tokenizer = Tokenizer::load(stem + ".model");
  const Tokenizer again = Tokenizer::from_json(tokenizer.to_json(), "exported");
  EXPECT_EQ(again.hash(), tokenizer.hash());
  EXPECT_EQ(tokenizer.bos(), 1);
  const Json texts = read_json_file(kGolden + "tokenizer_texts.json");
  const Json rows = read_json_file(stem + ".ids.json");
  ASSERT_EQ(texts.size(), rows.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto text = texts[i].get<std::string>();
    EXPECT_EQ(again.encode(text), tokenizer.encode(text)) << text;
    if (rows[i].at("ids").is_null()) continue;
    EXPECT_EQ(tokenizer.encode(text), rows[i].at("ids").get<std::vector<TokenId>>()) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Recorded, SentencePieceGolden, testing::Values("unigram", "bpe"),
                         [](const auto& test) { return std::string(test.param); });

// What tests/golden/make_user_defined_goldens.py recorded with `sentencepiece`.
class UserDefinedGolden : public testing::TestWithParam<const char*> {};

TEST_P(UserDefinedGolden, PiecesAreFoundAsSentencePieceFindsThem) {
  const std::string stem = kGolden + "tokenizer_user_" + GetParam();
  const Tokenizer tokenizer = Tokenizer::load(stem + ".model");
  const Tokenizer again = Tokenizer::from_json(tokenizer.to_json(), "exported");
  EXPECT_EQ(again.hash(), tokenizer.hash());
  for (const Json& row : read_json_file(stem + ".ids.json")) {
    const auto text = row.at("text").get<std::string>();
    const auto ids = row.at("ids").get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer.encode(text), ids) << text;
    EXPECT_EQ(again.encode(text), ids) << text;
    if (row.contains("decoded")) {
      EXPECT_EQ(tokenizer.decode(ids), row.at("decoded").get<std::string>()) << text;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Recorded, UserDefinedGolden,
                         testing::Values("bpe_prefix", "bpe_mapped", "unigram_prefix",
                                         "unigram_plain"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Tokenizer, VersionLinesAreNoMergesAndOtherHashesAre) {
  const std::string model =
      R"({"added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
          "decoder": null, "model": {"type": "BPE", "vocab": {"#": 0, "##": 1, "###": 2},
          "merges": ["#version: 0.2", "# #", "#version: 0.3", "## #"]}})";
  EXPECT_EQ(Tokenizer::from_json(model, "x").encode("###"), std::vector<TokenId>{2});
  const auto directory = std::filesystem::path(testing::TempDir()) / "alambic_version_lines";
  std::filesystem::create_directories(directory);
  write_file_atomic((directory / "vocab.json").string(), R"({"#": 0, "##": 1, "###": 2})");
  write_file_atomic((directory / "merges.txt").string(),
                    "#version: 0.2\n# #\n#version: 0.2 - trained again\n## #\n");
  EXPECT_EQ(Tokenizer::load(directory.string()).encode("###"), std::vector<TokenId>{2});
  std::filesystem::remove_all(directory);
}

TEST(Tokenizer, AdaptersWithoutOneHaveThatOfTheirBase) {
  const auto directory = std::filesystem::path(testing::TempDir()) / "alambic_adapters";
  std::filesystem::create_directories(directory / "base");
  write_file_atomic((directory / "base/tokenizer.json").string(),
                    read_file(kGolden + "tokenizer_byte_level.json"));
  write_file_atomic((directory / "adapter_config.json").string(),
                    dump_json(Json{{"base_model_name_or_path", (directory / "base").string()}}));
  EXPECT_EQ(Tokenizer::load(directory.string()).hash(),
            Tokenizer::load((directory / "base").string()).hash());
  std::filesystem::remove_all(directory);
}

// Ids are recorded without the tokens that a model puts around a text.
void expect_llama_cpp_vectors(const std::string& name) {
  const std::string stem = data_directory() + "/tokenizer_vectors/ggml-vocab-" + name + ".gguf";
  if (!std::filesystem::exists(stem)) GTEST_SKIP() << stem << " does not exist";
  const Tokenizer tokenizer = Tokenizer::load(stem);
  const Tokenizer again = Tokenizer::from_json(tokenizer.to_json(), "exported");
  EXPECT_EQ(again.hash(), tokenizer.hash());
  const std::string inputs = read_file(stem + ".inp"), outputs = read_file(stem + ".out");
  const std::string separator = "\n__ggml_vocab_test__\n";
  EncodeOptions bare;
  bare.special_prefix = false;
  size_t at = 0;
  int cases = 0;
  for (const std::string_view line : split_lines(outputs)) {
    const size_t end = std::min(inputs.find(separator, at), inputs.size());
    const std::string text = inputs.substr(at, end - at);
    at = std::min(end + separator.size(), inputs.size());
    std::string ids;
    for (const TokenId id : tokenizer.encode(text, bare)) {
      ids.append(" ").append(std::to_string(id));
    }
    EXPECT_EQ(ids, line) << text;
    EXPECT_EQ(again.encode(text), tokenizer.encode(text)) << text;
    ++cases;
  }
  EXPECT_GT(cases, 40);
}

class LlamaCppVectors : public testing::TestWithParam<const char*> {};

TEST_P(LlamaCppVectors, GgufVocabularyEncodesAsRecorded) { expect_llama_cpp_vectors(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Recorded, LlamaCppVectors,
                         testing::Values("bert-bge", "deepseek-coder", "gpt-2", "llama-spm"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// The same vocabulary in GPT-2's own two files, which the published vectors have too.
TEST(Tokenizer, DirectoryOfVocabularyAndMergesIsTheGgufVocabulary) {
  const std::string source = data_directory() + "/tokenizer_vectors/";
  if (!std::filesystem::exists(source)) GTEST_SKIP() << source << " does not exist";
  const auto directory = std::filesystem::temp_directory_path() / "alambic_gpt2_directory";
  std::filesystem::create_directories(directory);
  write_file_atomic((directory / "vocab.json").string(), read_file(source + "gpt2_encoder.json"));
  write_file_atomic((directory / "merges.txt").string(), read_file(source + "gpt2_vocab.bpe"));
  const Tokenizer plain = Tokenizer::load(directory.string());
  const Tokenizer gguf = Tokenizer::load(source + "ggml-vocab-gpt-2.gguf");
  for (const Json& text : read_json_file(kGolden + "tokenizer_texts.json")) {
    EXPECT_EQ(plain.encode(text.get<std::string>()), gguf.encode(text.get<std::string>()));
  }
  std::filesystem::remove_all(directory);
}

// tests/golden/check_tokenizers.py names a directory and compares with Python's `tokenizers` and
// `sentencepiece`. list.txt: lines "NAME\tPATH"; texts.bin: texts, each after its length. Written
// for each NAME: ids, each text's after their number; what they decode to; the exported file.
TEST(Tokenizer, EncodesForThePythonCheck) {
  const char* given = std::getenv("ALAMBIC_CHECK_DIR");
  if (given == nullptr) GTEST_SKIP() << "ALAMBIC_CHECK_DIR is not set";
  const std::string directory = std::string(given) + "/";
  const std::string texts = read_file(directory + "texts.bin"),
                    list = read_file(directory + "list.txt");
  const auto append = [](std::string& out, uint32_t value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  for (const std::string_view line : split_lines(list)) {
    const std::string name(line.substr(0, line.find('\t')));
    const Tokenizer tokenizer = Tokenizer::load(std::string(line.substr(name.size() + 1)));
    std::string ids, decoded;
    for (size_t at = 0; at < texts.size();) {
      uint32_t size = 0;
      std::memcpy(&size, texts.data() + at, sizeof size);
      const auto encoded = tokenizer.encode(to_valid_utf8(texts.substr(at + sizeof size, size)));
      at += sizeof size + size;
      append(ids, static_cast<uint32_t>(encoded.size()));
      for (const TokenId id : encoded) append(ids, static_cast<uint32_t>(id));
      const std::string text = to_valid_utf8(tokenizer.decode(encoded));
      append(decoded, static_cast<uint32_t>(text.size()));
      decoded += text;
    }
    write_file_atomic(directory + name + ".ids", ids);
    write_file_atomic(directory + name + ".decoded", decoded);
    tokenizer.save(directory + name + ".export.json");
  }
}

TEST(Tokenizer, ByteLevelReturnsEveryByteString) {
  const Tokenizer tokenizer = Tokenizer::load(kGolden + "tokenizer_byte_level.json");
  Rng rng(11);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (uint64_t n = rng.below(60); n > 0; --n) bytes += static_cast<char>(rng.below(256));
    EncodeOptions dropout;
    dropout.dropout = 0.3;
    dropout.rng = &rng;
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(bytes)), bytes);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(bytes, dropout)), bytes);
  }
}

TEST(Tokenizer, TokenBytesJoinToTheText) {
  const Tokenizer tokenizer = Tokenizer::load(kGolden + "tokenizer_byte_level.json");
  const std::string text = "naïve café, 12 dogs \xF0\x9F\x98\x80!\n";
  std::string joined;
  for (const TokenId id : tokenizer.encode("<|user|>" + text)) joined += tokenizer.token_bytes(id);
  EXPECT_EQ(joined, text);
  const Tokenizer fallback = Tokenizer::load(kGolden + "tokenizer_metaspace.json");
  EXPECT_EQ(fallback.token_bytes(*fallback.find("<0xE9>")), "\xE9");
  EXPECT_EQ(fallback.token_bytes(*fallback.find("▁the")), " the");
  EXPECT_EQ(fallback.token_bytes(*fallback.bos()), "");
  EXPECT_EQ(fallback.token_bytes(-1), "");
  EXPECT_EQ(fallback.token_bytes(1 << 30), "");
}

TEST(Tokenizer, SpecialTokensInTextAreTextIfNotParsed) {
  const Tokenizer tokenizer = Tokenizer::load(kGolden + "tokenizer_byte_level.json");
  const TokenId user = *tokenizer.find("<|user|>");
  EXPECT_EQ(tokenizer.encode("<|user|>"), std::vector<TokenId>{user});
  EncodeOptions plain;
  plain.parse_special = false;
  const auto ids = tokenizer.encode("<|user|>", plain);
  EXPECT_GT(ids.size(), 1u);
  EXPECT_EQ(tokenizer.decode(ids), "<|user|>");
}

TEST(Tokenizer, DropoutOfOneLeavesBytesAndOfZeroNothingOut) {
  const Tokenizer tokenizer = Tokenizer::load(kGolden + "tokenizer_byte_level.json");
  Rng rng(1);
  EncodeOptions options;
  options.rng = &rng;
  options.dropout = 1;
  EXPECT_EQ(tokenizer.encode("the little dog", options).size(), 14u);
  options.dropout = 0;
  EXPECT_EQ(tokenizer.encode("the little dog", options), tokenizer.encode("the little dog"));
  options.dropout = 0.5;
  options.rng = nullptr;
  EXPECT_THROW(tokenizer.encode("the", options), Error);
}

TEST(Tokenizer, WithSpecialAddsOneTokenAndChangesTheHash) {
  const Tokenizer plain = Tokenizer::load(kGolden + "tokenizer_byte_level.json");
  EXPECT_FALSE(plain.mask());
  const Tokenizer more = plain.with_special("<|mask|>");
  EXPECT_EQ(more.vocab_size(), plain.vocab_size() + 1);
  EXPECT_EQ(more.mask(), plain.vocab_size());
  EXPECT_TRUE(more.is_special(*more.mask()));
  EXPECT_NE(more.hash(), plain.hash());
  EXPECT_EQ(more.with_special("<|mask|>").hash(), more.hash());
  EXPECT_EQ(more.encode("a<|mask|>"), (std::vector<TokenId>{*plain.find("a"), *more.mask()}));
  EXPECT_EQ(Tokenizer::from_json(more.to_json(), "saved").mask(), more.mask());
}

TEST(Tokenizer, DirectoryKeepsRoles) {
  const auto directory = std::filesystem::temp_directory_path() / "alambic_tokenizer_test";
  std::filesystem::create_directories(directory);
  const Tokenizer tokenizer = Tokenizer::load(kGolden + "tokenizer_byte_level.json");
  EXPECT_EQ(tokenizer.eos(), tokenizer.find("<|endoftext|>"));
  tokenizer.save(directory.string());
  write_file_atomic((directory / "special_tokens_map.json").string(),
                    R"({"pad_token": {"content": "<|end|>"}})");
  const Tokenizer again = Tokenizer::load(directory.string());
  EXPECT_EQ(again.eos(), tokenizer.eos());
  EXPECT_EQ(again.pad(), tokenizer.find("<|end|>"));
  EXPECT_EQ(again.hash(), tokenizer.hash());
  std::filesystem::remove_all(directory);
}

TEST(Tokenizer, ThreadsShareOneTokenizer) {
  const Tokenizer tokenizer = Tokenizer::load(kGolden + "tokenizer_metaspace.json");
  const auto expected = tokenizer.encode("The little dog said hello to 12 friends.");
  std::vector<std::thread> threads;
  std::array<int, 4> wrong{};
  for (size_t i = 0; i < wrong.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 200; ++round) {
        if (tokenizer.encode("The little dog said hello to 12 friends.") != expected) ++wrong[i];
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, (std::array<int, 4>{}));
}

TEST(Tokenizer, LongPieceWithoutSpacesTakesModerateTime) {
  const Tokenizer tokenizer = Tokenizer::load(kGolden + "tokenizer_byte_level.json");
  std::string text;
  Rng rng(5);
  for (int i = 0; i < 1000000; ++i) text += static_cast<char>('a' + rng.below(26));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
}

TEST(StreamDecoder, NeverEmitsHalfACharacter) {
  const Tokenizer tokenizer = Tokenizer::load(kGolden + "tokenizer_byte_level.json");
  const auto ids = tokenizer.encode("\xF0\x9F\xA6\x84");  // a unicorn, which no merge covers
  ASSERT_GT(ids.size(), 1u);
  StreamDecoder stream(tokenizer);
  for (size_t i = 0; i + 1 < ids.size(); ++i) EXPECT_EQ(stream.push(ids[i]), "");
  EXPECT_EQ(stream.push(ids.back()), "\xF0\x9F\xA6\x84");
  EXPECT_EQ(stream.push(ids[0]), "");
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD");
}

TEST(Tokenizer, BrokenFilesAreRefusedWithTheReason) {
  const std::string model =
      R"("model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]})";
  const struct {
    std::string json, reason;
    ErrorCode code;
  } cases[] = {
      {"{", "not valid JSON", ErrorCode::kCorruptData},
      {"[]", "no JSON object", ErrorCode::kCorruptData},
      {"{}", "model", ErrorCode::kCorruptData},
      {R"({"model": {"type": "WordLevel", "vocab": {}}})", "WordLevel", ErrorCode::kUnsupported},
      {R"({"model": {"type": "Unigram"}})", "\"vocab\"", ErrorCode::kCorruptData},
      {R"({"model": {"type": "Unigram", "vocab": [["a"]]}})", "[token, score]",
       ErrorCode::kCorruptData},
      {R"({"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1}})", "unk_id",
       ErrorCode::kCorruptData},
      {R"({"model": {"type": "WordPiece", "vocab": {"a": 0}}})", "[UNK]", ErrorCode::kCorruptData},
      {R"({"model": {"vocab": {"a": 0, "a": 1}, "merges": []}})", "\"a\" occurs twice",
       ErrorCode::kCorruptData},
      {R"({"model": {"vocab": {"a": 0, "b": 0}, "merges": []}})", "share the id",
       ErrorCode::kCorruptData},
      {R"({"model": {"vocab": {"a": 2000000000}, "merges": []}})", "2000000000",
       ErrorCode::kCorruptData},
      {R"({"model": {"vocab": {"a": -1}, "merges": []}})", "-1", ErrorCode::kCorruptData},
      {R"({"model": {"vocab": {"a": 0}, "merges": ["a b"]}})", "\"b\"", ErrorCode::kCorruptData},
      {R"({"model": {"vocab": {"a": 0}, "merges": ["ab"]}})", "merge", ErrorCode::kCorruptData},
      {R"({"model": {"vocab": {"a": 0}, "merges": [], "unk_token": "<unk>"}})", "<unk>",
       ErrorCode::kCorruptData},
      {"{" + model +
           R"(, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="}})",
       "character map", ErrorCode::kCorruptData},
      {"{" + model + R"(, "normalizer": {"type": "Fold"}})", "Fold", ErrorCode::kUnsupported},
      {"{" + model + R"(, "pre_tokenizer": {"type": "UnicodeScripts"}})", "UnicodeScripts",
       ErrorCode::kUnsupported},
      {"{" + model + R"(, "decoder": {"type": "CTC"}})", "CTC", ErrorCode::kUnsupported},
      {"{" + model + R"(, "post_processor": {"type": "BertProcessing"}})", "\"cls\"",
       ErrorCode::kCorruptData},
      {"{" + model + R"(, "post_processor": {"type": "Unheard"}})", "Unheard",
       ErrorCode::kUnsupported},
      {"{" + model + R"(, "added_tokens": [{"content": "x", "id": 1}]})", "\"x\"",
       ErrorCode::kCorruptData},
      {"{" + model +
           R"(, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated"}})",
       "((", ErrorCode::kUnsupported},
      {"{" + model +
           R"(, "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}},
           {"Sequence": {"id": "A"}}], "special_tokens": {"x": {"ids": [9]}}}})",
       "id 9", ErrorCode::kCorruptData},
  };
  for (const auto& test : cases) {
    try {
      Tokenizer::from_json(test.json, "file.json");
      ADD_FAILURE() << "accepted: " << test.json;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), test.code) << error.what();
      EXPECT_NE(std::string(error.what()).find(test.reason), std::string::npos) << error.what();
      EXPECT_TRUE(std::string(error.what()).starts_with("[file.json]")) << error.what();
    }
  }
  EXPECT_THROW(Tokenizer::load(kGolden + "no_such_tokenizer.json"), Error);
}

}  // namespace
}  // namespace alambic
