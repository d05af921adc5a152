#include "alambic/text/train_bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/base/json.h"
#include "alambic/base/rng.h"

namespace alambic {
namespace {

const std::string kRecorded = std::string(ALAMBIC_GOLDEN_DIR) + "/";

// The texts that tests/golden/make_tokenizer_goldens.py trains with.
std::vector<std::string> training_texts() {
  std::vector<std::string> texts;
  for (const Json& value : read_json_file(kRecorded + "tokenizer_texts.json")) {
    const auto text = value.get<std::string>();
    const auto characters =
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
    if (characters < 600 && text.find("<|") == text.npos) texts.push_back(text);
  }
  return texts;
}

TEST(TrainBpe, LearnsTheVocabularyOfTheReferenceTrainer) {
  BpeTrainOptions options;
  options.vocab_size = 700;
  options.special_tokens = {"<|endoftext|>", "<|user|>", "<|end|>"};
  options.min_frequency = 1;
  options.split_digits = false;
  const Tokenizer trained = train_bpe(training_texts(), options);
  const Tokenizer reference = Tokenizer::load(kRecorded + "tokenizer_byte_level.json");
  ASSERT_EQ(trained.vocab_size(), reference.vocab_size());
  for (TokenId id = 0; id < trained.vocab_size(); ++id) {
    ASSERT_EQ(trained.token_content(id), reference.token_content(id)) << "id " << id;
  }
  EXPECT_EQ(parse_json(trained.to_json(), "trained")["model"]["merges"],
            parse_json(reference.to_json(), "reference")["model"]["merges"]);
}

TEST(TrainBpe, ByteLevelVocabularyReturnsEveryByteString) {
  const std::vector<std::string> texts = {"the cat sat on the mat 1234", "the cat was 77"};
  const Tokenizer tokenizer = train_bpe(texts, {300, {"<|end|>"}});
  Rng rng(3);
  for (int round = 0; round < 500; ++round) {
    std::string bytes;
    for (uint64_t n = rng.below(80); n > 0; --n) bytes += static_cast<char>(rng.below(256));
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(bytes)), bytes);
  }
}

TEST(TrainBpe, ByteFallbackVocabularyReturnsBytesItHasNeverSeen) {
  const std::vector<std::string> texts = {"oui le chat est là, le chien est là",
                                          "oui le chat dort"};
  BpeTrainOptions options;
  options.vocab_size = 330;
  options.byte_fallback = true;
  const Tokenizer tokenizer = train_bpe(texts, options);
  EXPECT_TRUE(tokenizer.find("▁le"));
  for (const std::string text : {"le chat", "  deux espaces ", "中文 😀", "a\xFF\xC3(", "\n\t\n"}) {
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(TrainBpe, DigitsStandAloneIfAsked) {
  const std::vector<std::string> texts(50, "order 1234 order 1234");
  BpeTrainOptions options;
  options.vocab_size = 300;
  EXPECT_EQ(train_bpe(texts, options).encode(" 1234").size(), 5u);
  options.split_digits = false;
  EXPECT_EQ(train_bpe(texts, options).encode(" 1234").size(), 1u);
}

TEST(TrainBpe, SpecialTokensComeFirstAndLeaveNoTraceInTheMerges) {
  const std::vector<std::string> texts(20, "<|user|>hi<|end|>");
  const Tokenizer tokenizer = train_bpe(texts, {290, {"<|user|>", "<|end|>"}});
  EXPECT_EQ(tokenizer.find("<|user|>"), 0);
  EXPECT_EQ(tokenizer.find("<|end|>"), 1);
  EXPECT_FALSE(tokenizer.find("us"));
  EXPECT_EQ(tokenizer.encode("<|user|>hi<|end|>"),
            (std::vector<TokenId>{0, *tokenizer.find("hi"), 1}));
}

TEST(TrainBpe, SavedTokenizerIsTheSameTokenizer) {
  const std::vector<std::string> texts = training_texts();
  const Tokenizer tokenizer = train_bpe(texts, {600, {"<|end|>"}});
  const Tokenizer again = Tokenizer::from_json(tokenizer.to_json(), "saved");
  EXPECT_EQ(again.hash(), tokenizer.hash());
  for (const std::string& text : texts) EXPECT_EQ(again.encode(text), tokenizer.encode(text));
}

// tests/golden/check_tokenizer_export.py names the directory and compares with Python's
// `tokenizers`.
TEST(TrainBpe, ExportsForThePythonCheck) {
  const char* directory = std::getenv("ALAMBIC_EXPORT_DIR");
  if (directory == nullptr) GTEST_SKIP() << "ALAMBIC_EXPORT_DIR is not set";
  const Json texts = read_json_file(kRecorded + "tokenizer_texts.json");
  for (int kind = 0; kind < 4; ++kind) {
    BpeTrainOptions options;
    options.vocab_size = 1000;
    options.special_tokens = {"<|user|>", "<|end|>"};
    options.byte_fallback = kind % 2 == 1;
    options.split_digits = kind / 2 == 1;
    const Tokenizer tokenizer = train_bpe(training_texts(), options).with_special("<|mask|>");
    Json rows = Json::array();
    for (const Json& text : texts) rows.push_back(tokenizer.encode(text.get<std::string>()));
    const std::string stem = directory + ("/export_" + std::to_string(kind));
    tokenizer.save(stem + ".json");
    write_file_atomic(stem + ".ids.json", dump_json(rows));
  }
}

TEST(TrainBpe, RefusesVocabulariesThatCannotHoldTheAlphabet) {
  EXPECT_THROW(train_bpe({}, {100, {}}), Error);
  EXPECT_THROW(train_bpe({}, {300, {"<a>", "<a>"}}), Error);
  EXPECT_THROW(train_bpe({}, {300, {""}}), Error);
  EXPECT_EQ(train_bpe({}, {300, {}}).vocab_size(), 256);
}

}  // namespace
}  // namespace alambic
