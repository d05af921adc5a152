// Text written with the fused head against text written from rows of logits.
#include "alambic/decode/head_rows.h"

#include <gtest/gtest.h>

#include "alambic/decode/test_models.h"

namespace alambic {
namespace {

constexpr int kWideVocabulary = 2500, kWritten = 2490;

// The model without its fused head.
class LogitsOnly final : public LanguageModel {
 public:
  explicit LogitsOnly(Transformer& model) : model_(model) {}
  const ModelConfig& config() const override { return model_.config(); }
  Tensor hidden(std::span<const TokenId> tokens, const Forward& forward) const override {
    return model_.hidden(tokens, forward);
  }
  Tensor logits(const Tensor& hidden_rows, Precision precision) const override {
    return model_.logits(hidden_rows, precision);
  }
  const Tensor& head() const override { return model_.head(); }
  const Tensor& head_bias() const override { return model_.head_bias(); }
  void visit(const ParameterVisitor& visitor) override { model_.visit(visitor); }

 private:
  Transformer& model_;
};

class FusedHead : public testing::TestWithParam<size_t> {
 protected:
  void SetUp() override { kernels::use_kernels(kernels::supported_kernels()[GetParam()].isa); }
  void TearDown() override { kernels::use_kernels(isa_); }
  kernels::Isa isa_ = kernels::kernels().isa;
};

void expect_the_same_text(Transformer& model, Precision precision) {
  const LogitsOnly plain(model);
  const std::vector<Prompt> prompts = random_prompts(6, 11);
  GenerateOptions options;
  options.max_tokens = 16;
  options.vocabulary = kWritten;
  options.precision = precision;
  options.block = 4;
  options.stop = {3};
  for (const DecodeMode mode :
       {DecodeMode::kAutoregressive, DecodeMode::kSpeculative, DecodeMode::kDiffusion}) {
    const auto fused = generate_all(mode, model, prompts, options);
    const auto want = generate_all(mode, plain, prompts, options);
    for (size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(fused[i].tokens, want[i].tokens) << name_of(mode);
      EXPECT_EQ(fused[i].log_probability, want[i].log_probability) << name_of(mode);
    }
  }
}

TEST_P(FusedHead, WritesTheTextAndProbabilitiesOfTheLogits) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const auto model = random_model(8, 2, precision, 512, kWideVocabulary);
    expect_the_same_text(*model, precision);
  }
  for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4}) {
    const auto model = random_model(8, 2, Precision::kBf16, 512, kWideVocabulary);
    quantize_weights(*model, format);
    expect_the_same_text(*model, Precision::kBf16);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryTable, FusedHead,
                         testing::Range(size_t{0}, kernels::supported_kernels().size()));

TEST(HeadRows, GreedyTextNeverAsksForLogits) {
  class NoLogits final : public LanguageModel {
   public:
    const ModelConfig& config() const override { return config_; }
    Tensor hidden(std::span<const TokenId> /*tokens*/, const Forward& /*forward*/) const override {
      return {};
    }
    Tensor logits(const Tensor& /*hidden_rows*/, Precision /*precision*/) const override {
      ADD_FAILURE() << "logits were made";
      return {};
    }
    void summaries(const Tensor& /*hidden_rows*/, Precision /*precision*/,
                   const CountedColumns& columns, std::span<RowSummary> out) const override {
      EXPECT_EQ(columns.count, kWritten);
      EXPECT_EQ(columns.excluded, kTestMask);
      for (RowSummary& row : out) row = {7, 2.0F, 1.0};
    }
    const Tensor& head() const override { return none_; }
    const Tensor& head_bias() const override { return none_; }
    void visit(const ParameterVisitor& /*visitor*/) override {}

   private:
    ModelConfig config_;
    Tensor none_;
  };
  ModelConfig config;
  config.vocab_size = kWideVocabulary;
  config.mask = kTestMask;
  GenerateOptions options;
  options.vocabulary = kWritten;
  Sampler sampler(config, options, 0);
  HeadRows rows;
  rows.read(NoLogits(), Tensor::zeros({2, 3}), sampler);
  EXPECT_EQ(rows.rows(), 2);
  EXPECT_EQ(rows.choose(sampler, 1, 0).token, 7);
}

}  // namespace
}  // namespace alambic
