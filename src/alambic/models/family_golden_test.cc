// Every family against its reference: numbers recorded by tests/golden/make_llama_goldens.py and
// make_family_goldens.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "alambic/autograd/graph.h"
#include "alambic/autograd/ops_head.h"
#include "alambic/base/file.h"
#include "alambic/models/hf_directory.h"
#include "alambic/models/quantize.h"
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
  const Forward forward{.groups = {{static_cast<int>(tokens.size()), 0, model.config().causal}}};
  return model.logits(model.hidden(tokens, forward), Precision::kFp32);
}

// Sum of the next-token losses of one document, and how many there are.
HeadLoss document_loss(const LanguageModel& model, const std::vector<TokenId>& tokens) {
  const Forward forward{.groups = {{static_cast<int>(tokens.size()), 0, model.config().causal}}};
  HeadTargets targets;
  targets.labels.assign(tokens.begin() + 1, tokens.end());
  targets.labels.push_back(0);
  targets.label_weights.assign(tokens.size(), 1.0F);
  targets.label_weights.back() = 0;
  return head_loss(model.hidden(tokens, forward), model.head(), targets, Precision::kFp32,
                   model.head_bias());
}

class FamilyGolden : public testing::TestWithParam<const char*> {
 protected:
  std::string directory_ = std::string(ALAMBIC_GOLDEN_DIR "/") + GetParam();
  Json golden_ = read_json_file(directory_ + "/golden.json");
  std::vector<TokenId> tokens_ = golden_.at("tokens").get<std::vector<TokenId>>();
  LoadedModel loaded_ = load_model(directory_);
  kernels::Isa isa_ = kernels::kernels().isa;
  void TearDown() override { kernels::use_kernels(isa_); }
  // Of this test alone.
  static std::string own_directory() {
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::replace(name.begin(), name.end(), '/', '_');
    return testing::TempDir() + "alambic_" + name;
  }
};

class CausalFamilyGolden : public FamilyGolden {};

// |difference| <= 1e-4, on every kernel table, trained weights in fp32.
TEST_P(FamilyGolden, LogitsEqualTheReference) {
  for (const kernels::KernelTable& table : kernels::supported_kernels()) {
    kernels::use_kernels(table.isa);
    const Tensor logits = logits_of(*loaded_.model, tokens_);
    EXPECT_LT(largest_difference(logits.values(), golden_.at("logits").get<std::vector<double>>()),
              1e-4)
        << kernels::isa_name(table.isa);
  }
}

TEST_P(FamilyGolden, PreparedWeightsGiveTheSameLogits) {
  const Tensor before = logits_of(*loaded_.model, tokens_);
  freeze_for_inference(*loaded_.model, Precision::kFp32);
  const Tensor after = logits_of(*loaded_.model, tokens_);
  EXPECT_TRUE(std::equal(before.values().begin(), before.values().end(), after.values().begin()));
}

// Loss, gradient norm and the loss after one AdamW step, to 1e-3 (fp32).
TEST_P(FamilyGolden, OneTrainingStepEqualsTorch) {
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

// Prompt, then token by token, with a cache: the rows of the whole forward, in floating point and
// with 8-bit weights (whose own rounding is the same both ways).
TEST_P(CausalFamilyGolden, PrefillAndTokenByTokenEqualTheWholeForward) {
  Transformer& model = *loaded_.model;
  for (const bool quantized : {false, true}) {
    freeze_for_inference(model, Precision::kFp32);
    if (quantized) use_quantized(model, quantize(model, {}));
    const NoGrad no_grad;
    const Tensor whole = logits_of(model, tokens_);
    KvCache cache = make_cache(model.config(), Precision::kFp32);
    int done = 0;
    while (done < static_cast<int>(tokens_.size())) {
      const int rows = done == 0 ? 7 : 1;
      const std::span<const TokenId> fresh(&tokens_[static_cast<size_t>(done)],
                                           static_cast<size_t>(rows));
      const Forward forward{.groups = {{.rows = rows, .position = done, .cache = &cache}}};
      const Tensor part = model.logits(model.hidden(fresh, forward), Precision::kFp32);
      for (int64_t i = 0; i < part.size(); ++i)
        ASSERT_NEAR(part.data()[i], whole.row(done)[i], 1e-4) << "row " << done;
      cache.commit(rows);
      done += rows;
    }
  }
}

TEST_P(FamilyGolden, WhatIsSavedComesBack) {
  const std::string copy = own_directory();
  const Tensor before = logits_of(*loaded_.model, tokens_);
  save_model(*loaded_.model, {}, copy, DType::kF32);
  const LoadedModel again = load_model(copy);
  EXPECT_EQ(again.model->config().peculiarities(), loaded_.model->config().peculiarities());
  const Tensor after = logits_of(*again.model, tokens_);
  EXPECT_TRUE(std::equal(before.values().begin(), before.values().end(), after.values().begin()));
}

// What stays in floating point is rounded to bf16, which most of these checkpoints are already;
// the rest may round rows to other 8-bit numbers.
TEST_P(FamilyGolden, QuantisedAndSavedItSaysTheSame) {
  const std::string copy = own_directory();
  freeze_for_inference(*loaded_.model, Precision::kFp32);
  const QuantizedWeights weights = quantize(*loaded_.model, {});
  save_quantized_model(*loaded_.model, weights, false, {}, copy);
  use_quantized(*loaded_.model, weights);
  const Tensor before = logits_of(*loaded_.model, tokens_);
  const LoadedModel mapped = load_for_inference(copy, Precision::kFp32);
  const Tensor after = logits_of(*mapped.model, tokens_);
  for (int64_t i = 0; i < before.size(); ++i) ASSERT_NEAR(after.data()[i], before.data()[i], 0.2);
}

// Its numbers would be wrong, and nobody would see it.
TEST(BidirectionalModels, RefuseToRunLeftToRight) {
  const LoadedModel loaded = load_model(ALAMBIC_GOLDEN_DIR "/families/llada");
  const std::vector<TokenId> tokens = {1, 5, 7};
  EXPECT_THROW(loaded.model->hidden(tokens, {.groups = {{3, 0}}}), Error);
}

// For tests/golden/check_student_export.py, which opens it with Python's transformers.
TEST_P(CausalFamilyGolden, IsWrittenForTransformersToCheck) {
  const char* root = std::getenv("ALAMBIC_EXPORT_DIR");
  if (root == nullptr) GTEST_SKIP() << "ALAMBIC_EXPORT_DIR names no directory to write to";
  std::string name = GetParam();
  std::replace(name.begin(), name.end(), '/', '_');
  const std::string target = std::string(root) + "/" + name;
  save_model(*loaded_.model, {}, target, DType::kF32);
  const Tensor logits = logits_of(*loaded_.model, tokens_);
  const Json record = {
      {"tokens", tokens_},
      {"logits", std::vector<float>(logits.values().begin(), logits.values().end())}};
  write_file_atomic(target + "/logits.json", dump_json(record));
}

TEST_P(FamilyGolden, ParametersAreCountedAsTheyAreVisited) {
  int64_t count = 0;
  loaded_.model->visit([&](Parameter& p) { count += p.value.size(); });
  EXPECT_EQ(count, loaded_.model->config().parameters());
}

std::string last_part(const testing::TestParamInfo<const char*>& test) {
  const std::string name = test.param;
  return name.substr(name.find('/') + 1);
}

const auto kCausal = testing::Values(
    "llama/gqa_untied_f32", "llama/wide_heads_tied_f16", "llama/mha_untied_bf16",
    "families/llama_biases_llama3_rope", "families/llama_linear_rope", "families/mistral_window",
    "families/qwen2_yarn_rope", "families/qwen2_window_above", "families/qwen3", "families/gpt2",
    "families/gptj", "families/gpt_neox_parallel", "families/gpt_neox_sequential",
    "families/bloom");

INSTANTIATE_TEST_SUITE_P(All, FamilyGolden, kCausal, last_part);
INSTANTIATE_TEST_SUITE_P(All, CausalFamilyGolden, kCausal, last_part);
// Every row sees every row.
INSTANTIATE_TEST_SUITE_P(Bidirectional, FamilyGolden,
                         testing::Values("families/llada", "families/llada_learned",
                                         "families/dream"),
                         last_part);

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
