// Against Python's transformers: numbers recorded by tests/golden/make_llama_goldens.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "alambic/autograd/graph.h"
#include "alambic/autograd/ops_head.h"
#include "alambic/base/file.h"
#include "alambic/models/hf_directory.h"
#include "alambic/models/test_models.h"

namespace alambic {
namespace {

double largest_difference(std::span<const float> got, const std::vector<double>& want) {
  if (got.size() != want.size()) return HUGE_VAL;
  double worst = 0;
  for (size_t i = 0; i < want.size(); ++i)
    worst = std::max(worst, std::abs(double{got[i]} - want[i]));
  return worst;
}

Tensor logits_of(const LanguageModel& model, const std::vector<TokenId>& tokens) {
  const Forward forward{.groups = {{static_cast<int>(tokens.size()), 0}}};
  return model.logits(model.hidden(tokens, forward), Precision::kFp32);
}

// Sum of the next-token losses of one document, and how many there are.
HeadLoss document_loss(const LanguageModel& model, const std::vector<TokenId>& tokens) {
  const Forward forward{.groups = {{static_cast<int>(tokens.size()), 0}}};
  HeadTargets targets;
  targets.labels.assign(tokens.begin() + 1, tokens.end());
  targets.labels.push_back(0);
  targets.label_weights.assign(tokens.size(), 1.0F);
  targets.label_weights.back() = 0;
  return head_loss(model.hidden(tokens, forward), model.head(), targets, Precision::kFp32);
}

class Llama : public testing::TestWithParam<const char*> {
 protected:
  std::string directory_ = std::string(ALAMBIC_GOLDEN_DIR "/llama/") + GetParam();
  Json golden_ = read_json_file(directory_ + "/golden.json");
  std::vector<TokenId> tokens_ = golden_.at("tokens").get<std::vector<TokenId>>();
  LoadedModel loaded_ = load_model(directory_);
  kernels::Isa isa_ = kernels::kernels().isa;
  void TearDown() override { kernels::use_kernels(isa_); }
};

// |difference| <= 1e-4, on every kernel table, trained weights in fp32.
TEST_P(Llama, LogitsEqualTransformers) {
  for (const kernels::KernelTable& table : kernels::supported_kernels()) {
    kernels::use_kernels(table.isa);
    const Tensor logits = logits_of(*loaded_.model, tokens_);
    EXPECT_LT(largest_difference(logits.values(), golden_.at("logits").get<std::vector<double>>()),
              1e-4)
        << kernels::isa_name(table.isa);
  }
}

TEST_P(Llama, PreparedWeightsGiveTheSameLogits) {
  const Tensor before = logits_of(*loaded_.model, tokens_);
  freeze_for_inference(*loaded_.model, Precision::kFp32);
  const Tensor after = logits_of(*loaded_.model, tokens_);
  EXPECT_TRUE(std::equal(before.values().begin(), before.values().end(), after.values().begin()));
}

// Loss, gradient norm and the loss after one AdamW step, to 1e-3 (fp32).
TEST_P(Llama, OneTrainingStepEqualsTorch) {
  const double count = static_cast<double>(tokens_.size() - 1);
  for (const kernels::KernelTable& table : kernels::supported_kernels()) {
    kernels::use_kernels(table.isa);
    loaded_ = load_model(directory_);
    Transformer& student = *loaded_.model;
    set_trainable(student, true);
    const HeadLoss loss = document_loss(student, tokens_);
    EXPECT_NEAR(double{loss.sum.data()[0]} / count, golden_.at("loss").get<double>(), 1e-3);
    backward(loss.sum);
    double squares = 0;
    student.visit([&](Parameter& p) {
      for (const float g : p.value.grad().values()) squares += double{g} * double{g};
    });
    const double norm = std::sqrt(squares) / count,
                 want = golden_.at("gradient_norm").get<double>();
    EXPECT_NEAR(norm, want, 1e-3 * want);
    student.visit([&](Parameter& p) {
      const kernels::AdamW step{.lr = 1e-2F,
                                .beta1 = 0.9F,
                                .beta2 = 0.95F,
                                .eps = 1e-8F,
                                .weight_decay = p.decay ? 0.1F : 0.0F,
                                .bias1 = 0.1F,
                                .bias2 = 0.05F,
                                .grad_scale = static_cast<float>(1 / count)};
      Tensor m = Tensor::zeros(p.value.shape()), v = Tensor::zeros(p.value.shape());
      table.adamw(step, p.value.grad().data(), p.value.size(), p.value.data(), m.data(), v.data());
    });
    const HeadLoss after = document_loss(student, tokens_);
    EXPECT_NEAR(double{after.sum.data()[0]} / count, golden_.at("loss_after_step").get<double>(),
                1e-3);
  }
}

INSTANTIATE_TEST_SUITE_P(Goldens, Llama,
                         testing::Values("gqa_untied_f32", "wide_heads_tied_f16",
                                         "mha_untied_bf16"),
                         [](const auto& test) { return std::string(test.param); });

class Tinystories : public testing::Test {
 protected:
  void SetUp() override {
    const std::string directory = shared_data("weights_tinystories656K");
    if (!file_exists(directory + "/config.json"))
      GTEST_SKIP() << directory << " is not on this machine";
    loaded_ = load_model(directory);
    cases_ = read_json_file(ALAMBIC_GOLDEN_DIR "/llama/tinystories656K.json");
  }
  LoadedModel loaded_;
  Json cases_;
};

TEST_F(Tinystories, LogitsEqualTransformersTo1e4) {
  for (const Json& recorded : cases_) {
    const Tensor logits =
        logits_of(*loaded_.model, recorded.at("prompt").get<std::vector<TokenId>>());
    const auto cols = static_cast<size_t>(logits.cols());
    EXPECT_LT(largest_difference({logits.row(0), cols},
                                 recorded.at("first_logits").get<std::vector<double>>()),
              1e-4);
    EXPECT_LT(largest_difference({logits.row(logits.rows() - 1), cols},
                                 recorded.at("last_logits").get<std::vector<double>>()),
              1e-4);
  }
}

TEST_F(Tinystories, GreedyContinuationsEqualTransformers) {
  freeze_for_inference(*loaded_.model, Precision::kFp32);
  for (const Json& recorded : cases_) {
    auto tokens = recorded.at("prompt").get<std::vector<TokenId>>();
    const auto want = recorded.at("greedy").get<std::vector<TokenId>>();
    KvCache cache = make_cache(loaded_.model->config(), Precision::kFp32);
    std::vector<TokenId> fresh = tokens, got;
    while (got.size() < want.size()) {
      const int rows = static_cast<int>(fresh.size());
      const Forward forward{
          .groups = {{.rows = rows, .position = cache.length(), .cache = &cache}}};
      const Tensor logits =
          loaded_.model->logits(loaded_.model->hidden(fresh, forward), Precision::kFp32);
      cache.commit(rows);
      const float* last = logits.row(logits.rows() - 1);
      got.push_back(static_cast<TokenId>(std::max_element(last, last + logits.cols()) - last));
      fresh = {got.back()};
    }
    EXPECT_EQ(got, want);
  }
}

}  // namespace
}  // namespace alambic
