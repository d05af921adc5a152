#include "alambic/distill/teacher.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "alambic/base/error.h"
#include "alambic/data/conversation.h"
#include "alambic/data/signal_store.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/run_parts.h"
#include "alambic/tensor/product.h"
#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

const std::vector<std::string> kTeacherLines = {"Where is order 7? It is on its way.",
                                                "And order 8? That one has been lost, sorry."};
constexpr const char* kTwoAnswers =
    R"({"messages": [{"role": "user", "content": "Where is order 7?"},
       {"role": "assistant", "content": "It is on its way."},
       {"role": "user", "content": "And order 8?"},
       {"role": "assistant", "content": "That one has been lost."}]})";

// A teacher of random weights, and one conversation of two answers.
class Conversations : public testing::Test {
 protected:
  Conversations()
      : tokenizer_(train_bpe(kTeacherLines,
                             {.vocab_size = 300,
                              .special_tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}})),
        directory_(testing::TempDir() + "alambic_teacher_" + std::to_string(::getpid())) {
    std::filesystem::create_directories(directory_);
    card_.chat_template = ChatTemplate::builtin("chatml").source();
    card_.ends = {tokenizer_.find("<|im_end|>").value()};
    ModelConfig config;
    config.vocab_size = tokenizer_.vocab_size();
    config.dim = 16;
    config.layers = 1;
    config.heads = config.kv_heads = 2;
    config.head_dim = 8;
    config.ffn = 32;
    model_ = std::make_unique<Transformer>(config);
    model_->initialise(3);
    freeze_for_inference(*model_, Precision::kFp32);
    const OrderedJson row = OrderedJson::parse(kTwoAnswers);
    examples_.resize(1);
    read_conversation(row, "test", examples_[0]);
    examples_[0].id = "1";
  }
  ~Conversations() override { std::filesystem::remove_all(directory_); }

  std::string gathered(SignalKind kind) {
    const std::string path = directory_ + "/" + std::string(signal_kind_name(kind)) + ".sqlite";
    SignalHeader header;
    header.teacher_id = "t";
    header.tokenizer_hash = tokenizer_.hash();
    header.kind = kind;
    header.draws_or_k = kind == SignalKind::kText ? 0 : 4;
    header.vocab_size = tokenizer_.vocab_size();
    SignalStore store = SignalStore::create_or_resume(path, header);
    LocalTeacher teacher(*model_, tokenizer_, card_, "t",
                         {.kind = kind, .count = 4, .precision = Precision::kFp32});
    const std::vector<SignalRequest> requests = {{0, 0, examples_.data(), false}};
    gather_signals(teacher, requests, store, {});
    return path;
  }
  // What is learned of a sequence, as text.
  std::string learned_text(const Sequence& s) const {
    std::vector<TokenId> tokens;
    for (size_t t = static_cast<size_t>(s.prompt_tokens); t < s.tokens.size(); ++t) {
      if (s.learns(static_cast<int>(t))) tokens.push_back(s.tokens[t]);
    }
    return tokenizer_.decode(tokens, false);
  }

  Tokenizer tokenizer_;
  std::string directory_;
  ModelCard card_;
  std::unique_ptr<Transformer> model_;
  std::vector<Example> examples_;
};

constexpr const char* kAnswers = "It is on its way.<|im_end|>That one has been lost.<|im_end|>";

TEST_F(Conversations, OfSeveralAnswersAllAreLearnedAndTheUsersWordsAreNot) {
  for (const SignalKind kind : {SignalKind::kTopK, SignalKind::kDraws, SignalKind::kText}) {
    const auto read =
        read_signal_sequences(gathered(kind), card_, {tokenizer_, tokenizer_}, 512, examples_);
    ASSERT_EQ(read.sequences.size(), 1U);
    std::string learned = learned_text(read.sequences[0]);
    std::erase(learned, '\n');
    EXPECT_EQ(learned, kAnswers) << signal_kind_name(kind);
  }
}

// Against one plain forward over the whole conversation. The store keeps 16 bits of a probability.
TEST_F(Conversations, TheTeachersWordOnEveryAnswerIsItsOwnProbability) {
  const auto read = read_signal_sequences(gathered(SignalKind::kTopK), card_,
                                          {tokenizer_, tokenizer_}, 512, examples_);
  const Sequence& s = read.sequences.at(0);
  const NoGrad no_grad;
  const Forward forward{.groups = {{static_cast<int>(s.tokens.size()), 0}}};
  const Tensor logits = model_->logits(model_->hidden(s.tokens, forward), Precision::kFp32);
  constexpr double kStored = 1e-4;
  int asked = 0;
  for (size_t i = 0; i < s.signals.size(); ++i) {
    const size_t t = static_cast<size_t>(s.prompt_tokens) + i;
    EXPECT_EQ(!s.signals[i].ids.empty(), s.learns(static_cast<int>(t))) << t;
    const float* row = logits.row(static_cast<int64_t>(t) - 1);
    double sum = 0;
    for (int64_t v = 0; v < logits.cols(); ++v) sum += std::exp(double{row[v]});
    for (size_t k = 0; k < s.signals[i].ids.size(); ++k, ++asked) {
      EXPECT_NEAR(s.signals[i].probabilities[k], std::exp(double{row[s.signals[i].ids[k]]}) / sum,
                  kStored);
    }
  }
  EXPECT_GT(asked, 4 * 10);
}

TEST_F(Conversations, OfSeveralAnswersAreRefusedToAnotherTokenizer) {
  const Tokenizer other =
      train_bpe(kTeacherLines, {.vocab_size = 280, .special_tokens = {"<|endoftext|>"}});
  EXPECT_THROW(read_signal_sequences(gathered(SignalKind::kTopK), card_, {tokenizer_, other, false},
                                     512, examples_),
               Error);
}

}  // namespace
}  // namespace alambic
