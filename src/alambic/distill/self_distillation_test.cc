// A student that is its teacher has nothing to learn from it: not in memory, not from a store, and
// not where its head has rows that no token stands for.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "alambic/data/signal_store.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/run_parts.h"
#include "alambic/distill/teacher.h"
#include "alambic/distill/vocabularies.h"
#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

const std::vector<std::string> kLines = {"a kettle of tea and a cup of milk", "two cups of tea",
                                         "no milk in the kettle, thank you"};

class SelfDistillation : public testing::Test {
 protected:
  static constexpr int kPadding = 50;

  SelfDistillation()
      : tokenizer_(train_bpe(
            kLines, {.vocab_size = 290, .special_tokens = {kEndToken, kAnswerToken, kMaskToken}})),
        path_(testing::TempDir() + "alambic_self_" + std::to_string(::getpid()) + ".sqlite") {
    ModelConfig config;
    config.vocab_size = tokenizer_.vocab_size() + kPadding;
    config.dim = 16;
    config.layers = 1;
    config.heads = config.kv_heads = 2;
    config.head_dim = 8;
    config.ffn = 32;
    config.mask = tokenizer_.find(kMaskToken).value();
    for (auto* model : {&student_, &teacher_}) {
      *model = std::make_unique<Transformer>(config);
      (*model)->initialise(3);
      Rng rng(7);
      (*model)->visit([&](Parameter& p) {
        if (p.value.shape().size() == 1) return;
        for (float& w : p.value.values()) w = static_cast<float>(0.3 * rng.normal());
      });
    }
    set_trainable(*student_, true);
    freeze_for_inference(*teacher_, Precision::kFp32);
    card_.prompt_template = "{prompt}<|answer|>";
    for (const std::string& line : kLines)
      examples_.push_back({.prompt = "why?", .completion = line});
    tokenless_.student = tokenless_.teacher = rows_without_token(tokenizer_, config.vocab_size);
  }
  ~SelfDistillation() override { std::filesystem::remove(path_); }

  std::vector<Sequence> stored(SignalKind kind, int count, double temperature, uint64_t seed) {
    std::filesystem::remove(path_);
    SignalHeader header;
    header.teacher_id = "t";
    header.tokenizer_hash = tokenizer_.hash();
    header.kind = kind;
    header.draws_or_k = count;
    header.vocab_size = tokenizer_.vocab_size();
    SignalStore store = SignalStore::create_or_resume(path_, header);
    LocalTeacher teacher(*teacher_, tokenizer_, card_, "t",
                         {.kind = kind,
                          .count = count,
                          .temperature = temperature,
                          .seed = seed,
                          .precision = Precision::kFp32});
    std::vector<SignalRequest> requests;
    for (size_t i = 0; i < examples_.size(); ++i)
      requests.push_back({static_cast<int64_t>(i), 0, &examples_[i], false});
    gather_signals(teacher, requests, store, {});
    return read_signal_sequences(path_, card_, {tokenizer_, tokenizer_}, 512, examples_).sequences;
  }

  std::vector<double> gradient(const HybridOptions& options, const std::vector<Sequence>& data,
                               const LanguageModel* teacher) {
    Batch batch;
    for (const Sequence& s : data) batch.push_back(&s);
    Rng rng(1);
    const Loss loss = HybridObjective(options, teacher, tokenless_)
                          .evaluate(*student_, batch, {Precision::kFp32, 0, 0}, rng);
    backward(loss.sum);
    std::vector<double> all;
    student_->visit([&](Parameter& p) {
      for (const float g : p.value.grad().values()) all.push_back(double{g} / loss.count);
      p.value.grad() = Tensor();
    });
    return all;
  }
  static double norm(const std::vector<double>& v) {
    double squares = 0;
    for (const double x : v) squares += x * x;
    return std::sqrt(squares);
  }
  static HybridOptions taught(Divergence divergence, double temperature) {
    HybridOptions options;
    options.alpha = 1;
    options.divergence = divergence;
    options.temperature = temperature;
    return options;
  }

  Tokenizer tokenizer_;
  std::string path_;
  ModelCard card_;
  std::unique_ptr<Transformer> student_, teacher_;
  std::vector<Example> examples_;
  TokenlessRows tokenless_;
};

constexpr Divergence kAll[] = {Divergence::kForwardKl, Divergence::kReverseKl, Divergence::kJsd,
                               Divergence::kTotalVariation};

TEST_F(SelfDistillation, HasNoGradientFromMemoryOrFromStoredProbabilities) {
  const double plain = norm(gradient({}, stored(SignalKind::kTopK, 8, 1, 1), nullptr));
  ASSERT_GT(plain, 0.1);
  for (const double temperature : {1.0, 2.0}) {
    for (const int k : {1, 8, 400}) {
      const std::vector<Sequence> data = stored(SignalKind::kTopK, k, temperature, 1);
      for (const Divergence divergence : kAll) {
        const HybridOptions options = taught(divergence, temperature);
        EXPECT_LT(norm(gradient(options, data, teacher_.get())), 1e-5 * plain);
        // A store keeps 16 bits of a probability.
        const double tolerance = divergence == Divergence::kTotalVariation ? 0.1 : 1e-3;
        EXPECT_LT(norm(gradient(options, data, nullptr)), tolerance * plain)
            << "divergence " << static_cast<int>(divergence) << ", k = " << k
            << ", T = " << temperature;
      }
    }
  }
}

// Each set of draws pulls somewhere; the mean over many pulls nowhere.
TEST_F(SelfDistillation, HasNoGradientFromDrawsInTheMean) {
  constexpr int kSets = 100;
  std::vector<double> mean;
  double squares = 0;
  for (int set = 0; set < kSets; ++set) {
    const std::vector<double> g =
        gradient(taught(Divergence::kForwardKl, 1),
                 stored(SignalKind::kDraws, 12, 1, static_cast<uint64_t>(set)), nullptr);
    mean.resize(g.size());
    for (size_t i = 0; i < g.size(); ++i) mean[i] += g[i] / kSets;
    squares += norm(g) * norm(g);
  }
  // Of independent sets around 0, the norm of the mean is that of one over the root of their count.
  const double chance = std::sqrt(squares / kSets / kSets);
  EXPECT_LT(norm(mean), 1.3 * chance);
}

TEST_F(SelfDistillation, AStoreHasNoProbabilityForWhatIsNoToken) {
  for (const Sequence& s : stored(SignalKind::kTopK, 4000, 1, 1)) {
    for (const TokenSignal& signal : s.signals) {
      double sum = signal.tail;
      for (size_t i = 0; i < signal.ids.size(); ++i) {
        EXPECT_LT(signal.ids[i], tokenizer_.vocab_size());
        EXPECT_NE(signal.ids[i], tokenizer_.find(kMaskToken));
        sum += double{signal.probabilities[i]};
      }
      EXPECT_NEAR(sum, 1, 1e-5);
    }
  }
}

// Stores of others may list what this student has no token for.
TEST_F(SelfDistillation, AlternativesThatTheStudentLacksAreLeftOutAsInMemory) {
  std::vector<Sequence> data = stored(SignalKind::kTopK, 4000, 1, 1);
  const auto mask = tokenizer_.find(kMaskToken).value();
  std::filesystem::remove(path_);
  SignalHeader header;
  header.teacher_id = "t";
  header.tokenizer_hash = tokenizer_.hash();
  header.kind = SignalKind::kTopK;
  header.draws_or_k = 3;
  header.vocab_size = tokenizer_.vocab_size() + kPadding;
  SignalStore store = SignalStore::create_or_resume(path_, header);
  SignalRow row{.prompt = "why?",
                .text = "",
                .tokens = data[0].tokens,
                .prompt_tokens = data[0].prompt_tokens};
  row.signals.resize(data[0].signals.size());
  row.signals[0] = {{10, mask, tokenizer_.vocab_size() + 3}, {0.25F, 0.25F, 0.25F}, 0.25F};
  std::vector<SignalRow> rows{row};
  store.append(rows);
  const Sequence read =
      read_signal_sequences(path_, card_, {tokenizer_, tokenizer_}, 512, {}).sequences.at(0);
  ASSERT_EQ(read.signals[0].ids, std::vector<TokenId>{10});
  EXPECT_NEAR(read.signals[0].probabilities[0], 0.5, 1e-3);
  EXPECT_NEAR(read.signals[0].tail, 0.5, 1e-3);
}

}  // namespace
}  // namespace alambic
