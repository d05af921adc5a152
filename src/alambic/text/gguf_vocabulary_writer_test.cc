#include "alambic/text/gguf_vocabulary_writer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "alambic/base/error.h"
#include "alambic/formats/gguf.h"
#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

const std::vector<std::string> kLines = {"the kettle and the other kettle, 1234 times",
                                         "then they sing: the thing!\n\n  na\xC3\xAFve"};

Tokenizer through_gguf(const Tokenizer& tokenizer, int rows) {
  const std::string path =
      testing::TempDir() + "alambic_vocabulary_" + std::to_string(::getpid()) + ".gguf";
  GgufMetadata metadata;
  write_gguf_vocabulary(tokenizer, {rows, {}, "{{ messages }}"}, "x", metadata);
  GgufWriter(path, metadata, {}).commit();
  Tokenizer again = Tokenizer::load(path);
  std::filesystem::remove(path);
  return again;
}

TEST(GgufVocabularyWriter, ATrainedTokenizerComesBack) {
  const Tokenizer tokenizer =
      train_bpe(kLines, {.vocab_size = 300, .special_tokens = {"<s>", "</s>"}});
  const int rows = tokenizer.vocab_size() + 3;
  const Tokenizer again = through_gguf(tokenizer, rows);
  EXPECT_EQ(again.vocab_size(), rows);
  EXPECT_EQ(again.bos(), tokenizer.bos());
  EXPECT_EQ(again.eos(), tokenizer.eos());
  EXPECT_EQ(again.chat_template(), "{{ messages }}");
  for (const std::string& line : kLines) {
    EXPECT_EQ(again.encode(line + "</s>"), tokenizer.encode(line + "</s>"));
    EXPECT_EQ(again.decode(again.encode(line)), line);
  }
}

// The keys are those by which llama.cpp knows the ends of a text.
TEST(GgufVocabularyWriter, ThreeEndTokensHaveANameAndAFourthIsRefused) {
  const Tokenizer tokenizer = train_bpe(
      kLines, {.vocab_size = 300, .special_tokens = {"<s>", "</s>", "<x>", "<y>", "<z>"}});
  const auto id = [&](const char* content) { return *tokenizer.find(content); };
  const std::string path =
      testing::TempDir() + "alambic_ends_" + std::to_string(::getpid()) + ".gguf";
  GgufMetadata metadata;
  write_gguf_vocabulary(tokenizer, {tokenizer.vocab_size(), {id("<x>"), id("</s>"), id("<y>")}, ""},
                        "x", metadata);
  GgufWriter(path, metadata, {}).commit();
  const GgufFile file(path);
  EXPECT_EQ(file.require<uint32_t>("tokenizer.ggml.eos_token_id"), id("</s>"));
  EXPECT_EQ(file.require<uint32_t>("tokenizer.ggml.eot_token_id"), id("<x>"));
  EXPECT_EQ(file.require<uint32_t>("tokenizer.ggml.eom_token_id"), id("<y>"));
  std::filesystem::remove(path);
  GgufMetadata other;
  EXPECT_THROW(
      write_gguf_vocabulary(
          tokenizer, {tokenizer.vocab_size(), {id("<x>"), id("<y>"), id("<z>")}, ""}, "x", other),
      Error);
}

TEST(GgufVocabularyWriter, MoreTokensThanRowsAreRefused) {
  const Tokenizer tokenizer = train_bpe(kLines, {.vocab_size = 300});
  GgufMetadata metadata;
  EXPECT_THROW(
      write_gguf_vocabulary(tokenizer, {tokenizer.vocab_size() - 1, {}, ""}, "x", metadata), Error);
}

}  // namespace
}  // namespace alambic
