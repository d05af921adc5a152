#include "alambic/models/adapters.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>

#include "alambic/autograd/graph.h"
#include "alambic/autograd/ops_head.h"
#include "alambic/base/file.h"
#include "alambic/formats/safetensors.h"
#include "alambic/models/hf_directory.h"
#include "alambic/models/quantize.h"

namespace alambic {
namespace {

namespace fs = std::filesystem;

const std::vector<TokenId> kTokens = {1, 5, 9, 3, 3, 7, 60, 2};

std::string base_of(const std::string& name) { return ALAMBIC_GOLDEN_DIR "/families/" + name; }

Tensor adapted_logits(const LanguageModel& model, const std::vector<TokenId>& tokens = kTokens) {
  const NoGrad no_grad;
  const Forward forward{.groups = {{static_cast<int>(tokens.size()), 0}}};
  return model.logits(model.hidden(tokens, forward), Precision::kFp32);
}

void expect_near(const Tensor& got, const Tensor& want, double bound) {
  ASSERT_EQ(got.size(), want.size());
  for (int64_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got.data()[i], want.data()[i], bound);
}

// Adapters whose second factor says something, as after training.
void give_random_adapters(Transformer& model, int rank) {
  add_adapters(model, {.rank = rank, .alpha = 3.0 * rank});
  Rng rng(11);
  model.visit([&](Parameter& p) {
    if (!p.name.ends_with("_low_b")) return;
    for (float& w : p.value.values()) w = static_cast<float>(0.2 * rng.normal());
  });
}

class PeftGolden : public testing::TestWithParam<const char*> {};

// What Python's peft computed, to 1e-4: beside the base and merged into it.
TEST_P(PeftGolden, LogitsEqualPeft) {
  const std::string directory = std::string(ALAMBIC_GOLDEN_DIR "/adapters/") + GetParam();
  const Json golden = read_json_file(directory + "/golden.json");
  const auto tokens = golden.at("tokens").get<std::vector<TokenId>>();
  const auto numbers = golden.at("logits").get<std::vector<float>>();
  const Tensor want = Tensor::from({static_cast<int64_t>(tokens.size()), 67}, numbers);
  LoadedModel loaded = load_model(base_of(GetParam()));
  load_adapters(*loaded.model, directory);
  EXPECT_TRUE(has_adapters(*loaded.model));
  expect_near(adapted_logits(*loaded.model, tokens), want, 1e-4);
  merge_adapters(*loaded.model);
  EXPECT_FALSE(has_adapters(*loaded.model));
  expect_near(adapted_logits(*loaded.model, tokens), want, 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Files, PeftGolden,
                         testing::Values("llama_linear_rope", "gpt2", "gpt_neox_parallel"));

class Adapters : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "alambic_adapters_" +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  void expect_failure(ErrorCode code, const std::vector<std::string>& parts) const {
    const LoadedModel base = load_model(base_of("llama_linear_rope"));
    try {
      load_adapters(*base.model, directory_);
      ADD_FAILURE() << "the adapters loaded";
    } catch (const Error& error) {
      const std::string line = error.what();
      EXPECT_EQ(error.code(), code) << line;
      for (const std::string& part : parts) EXPECT_NE(line.find(part), std::string::npos) << line;
    }
  }
  void edit_config(const std::function<void(Json&)>& edit) const {
    Json config = read_json_file(directory_ + "/adapter_config.json");
    edit(config);
    write_file_atomic(directory_ + "/adapter_config.json", dump_json(config));
  }
  std::string directory_;
};

TEST_F(Adapters, ChangeNothingBeforeTheyHaveLearned) {
  const LoadedModel loaded = load_model(base_of("qwen3"));
  const Tensor before = adapted_logits(*loaded.model);
  add_adapters(*loaded.model, {});
  expect_near(adapted_logits(*loaded.model), before, 0);
}

// Saved and read again, over every family; fused ones have ranks that add up.
TEST_F(Adapters, WhatIsSavedComesBack) {
  for (const char* name : {"llama_linear_rope", "qwen3", "gpt2", "gptj", "gpt_neox_parallel",
                           "gpt_neox_sequential", "bloom", "mistral_window"}) {
    const LoadedModel taught = load_model(base_of(name)), fresh = load_model(base_of(name));
    give_random_adapters(*taught.model, 2);
    save_adapters(*taught.model, base_of(name), directory_);
    EXPECT_TRUE(is_adapter_directory(directory_));
    load_adapters(*fresh.model, directory_);
    const Tensor want = adapted_logits(*taught.model);
    expect_near(adapted_logits(*fresh.model), want, 1e-4);
    // The directory opens as a model: beside its base for inference, merged for anything else.
    expect_near(adapted_logits(*load_for_inference(directory_, Precision::kFp32).model), want,
                1e-4);
    expect_near(adapted_logits(*load_model(directory_).model), want, 1e-4);
  }
}

// Only the adapters learn; the gradient is that of the merged weights, through the chain rule.
TEST_F(Adapters, LearnAloneOverAQuantisedBase) {
  const LoadedModel loaded = load_model(base_of("qwen3"));
  Transformer& model = *loaded.model;
  freeze_for_inference(model, Precision::kFp32);
  use_quantized(model, quantize(model, {}));
  add_adapters(model, {.rank = 4, .alpha = 8});
  set_trainable(model, true);
  HeadTargets targets;
  targets.labels = {5, 9, 3, 3, 7, 60, 2, 0};
  targets.label_weights = {1, 1, 1, 1, 1, 1, 1, 0};
  const auto loss = [&] {
    return head_loss(model.hidden(kTokens, {.groups = {{8, 0}}}), model.head(), targets,
                     Precision::kFp32)
        .sum;
  };
  const Tensor before = loss();
  backward(before);
  int64_t learning = 0;
  model.visit([&](Parameter& p) {
    EXPECT_EQ(p.value.requires_grad(), p.adapter) << p.name;
    if (!p.adapter) return;
    ++learning;
    const Tensor gradient = p.value.grad();
    if (p.name.ends_with("_low_b")) {
      ASSERT_TRUE(gradient.defined()) << p.name;
      for (int64_t i = 0; i < gradient.size(); ++i) p.value.data()[i] -= 0.01F * gradient.data()[i];
    }
    p.value.grad() = Tensor();
  });
  EXPECT_EQ(learning, 2 * 7 * 2);
  EXPECT_LT(loss().data()[0], before.data()[0] - 0.1F);
}

TEST_F(Adapters, WishesThatCannotBeMetAreNamed) {
  const LoadedModel loaded = load_model(base_of("qwen3"));
  EXPECT_THROW(add_adapters(*loaded.model, {.rank = 0}), Error);
  EXPECT_THROW(add_adapters(*loaded.model, {.rank = 1000}), Error);
  EXPECT_THROW(add_adapters(*loaded.model, {.parts = {"q_proj"}}), Error);
}

TEST_F(Adapters, DamagedFilesAreNamed) {
  const LoadedModel taught = load_model(base_of("llama_linear_rope"));
  give_random_adapters(*taught.model, 2);
  const auto save = [&] { save_adapters(*taught.model, "base", directory_); };
  const std::string weights = directory_ + "/adapter_model.safetensors";
  const auto edit_weights = [&](const std::function<void(std::vector<TensorEntry>&)>& edit) {
    save();
    fs::copy_file(weights, directory_ + "/copy", fs::copy_options::overwrite_existing);
    const SafetensorsFile file(directory_ + "/copy");
    std::vector<TensorEntry> entries = file.entries();
    edit(entries);
    write_safetensors(weights, entries);
  };
  edit_weights([](auto& entries) { entries[0].name = "base_model.model.lm_head.lora_A.weight"; });
  expect_failure(ErrorCode::kUnsupported, {"lm_head"});
  edit_weights([](auto& entries) { entries.erase(entries.begin() + 1); });
  expect_failure(ErrorCode::kCorruptData, {"lora_B", "missing"});
  edit_weights([](auto& entries) { std::swap(entries[0].shape[0], entries[0].shape[1]); });
  expect_failure(ErrorCode::kCorruptData, {"lora_A", "want [rank, 24]"});
  edit_weights([](auto& entries) { entries.clear(); });
  expect_failure(ErrorCode::kCorruptData, {"0 of the factors"});
  save();
  edit_config([](Json& c) { c["peft_type"] = "IA3"; });
  expect_failure(ErrorCode::kUnsupported, {"IA3"});
  save();
  edit_config([](Json& c) { c["use_dora"] = true; });
  expect_failure(ErrorCode::kUnsupported, {"use_dora"});
  save();
  edit_config([](Json& c) { c["lora_alpha"] = "much", c["alpha_pattern"] = nullptr; });
  expect_failure(ErrorCode::kCorruptData, {"lora_alpha"});
  save();
  EXPECT_THROW(load_model(directory_), Error) << "its base is nowhere";
  fs::resize_file(weights, 100);
  expect_failure(ErrorCode::kCorruptData, {weights});
}

// For tests/golden/check_peft_export.py.
TEST(AdapterExport, IsWrittenForPeftToCheck) {
  const char* root = std::getenv("ALAMBIC_EXPORT_DIR");
  if (root == nullptr) GTEST_SKIP() << "ALAMBIC_EXPORT_DIR names no directory to write to";
  for (const char* name : {"llama_linear_rope", "qwen2_yarn_rope", "qwen3", "gpt2", "gptj",
                           "gpt_neox_parallel", "bloom", "mistral_window"}) {
    const LoadedModel taught = load_model(base_of(name));
    give_random_adapters(*taught.model, 3);
    const std::string directory = std::string(root) + "/" + name;
    save_adapters(*taught.model, base_of(name), directory);
    const Tensor logits = adapted_logits(*taught.model);
    const Json record = {
        {"tokens", kTokens},
        {"logits", std::vector<float>(logits.values().begin(), logits.values().end())}};
    write_file_atomic(directory + "/logits.json", dump_json(record));
  }
}

}  // namespace
}  // namespace alambic
