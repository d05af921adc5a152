// GGUF files of llama.cpp's own converter against the reference's logits of the same checkpoints:
// tests/golden/make_gguf_goldens.py.
#include "alambic/models/gguf_model.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "alambic/base/file.h"
#include "alambic/formats/gguf_blocks.h"
#include "alambic/models/gguf_config.h"
#include "alambic/models/hf_directory.h"
#include "alambic/models/test_models.h"

namespace alambic {
namespace {

const std::string kFiles = ALAMBIC_GOLDEN_DIR "/gguf/";
const std::string kFamilies = ALAMBIC_GOLDEN_DIR "/families/";
const auto kSilent = [](double) {};

Tensor all_logits(const LanguageModel& model, const std::vector<TokenId>& tokens) {
  const Forward forward{.groups = {{static_cast<int>(tokens.size()), 0}}};
  return model.logits(model.hidden(tokens, forward), Precision::kFp32);
}

double farthest(const Tensor& got, const std::vector<double>& want) {
  if (static_cast<size_t>(got.size()) != want.size()) return HUGE_VAL;
  double worst = 0;
  for (size_t i = 0; i < want.size(); ++i)
    worst = std::max(worst, std::abs(double{got.data()[i]} - want[i]));
  return worst;
}

struct Golden {
  explicit Golden(const std::string& path) : json(read_json_file(path)) {}
  Json json;
  std::vector<TokenId> tokens = json.at("tokens").get<std::vector<TokenId>>();
  std::vector<double> logits = json.at("logits").get<std::vector<double>>();
};

class Scratch {
 public:
  Scratch() : path_(testing::TempDir() + "alambic_gguf_model_" + std::to_string(::getpid())) {}
  ~Scratch() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class Converted : public testing::TestWithParam<const char*> {
 protected:
  std::string file_ = kFiles + GetParam() + ".gguf";
  Golden golden_{kFamilies + GetParam() + "/golden.json"};
};

// |difference| <= 1e-4: the checkpoints hold bf16 numbers, which F16 rounds only below 2^-14.
TEST_P(Converted, LogitsEqualTheReference) {
  const LoadedModel loaded = load_model(file_);
  EXPECT_LT(farthest(all_logits(*loaded.model, golden_.tokens), golden_.logits), 1e-4);
}

TEST_P(Converted, PackedForInferenceItSaysTheSame) {
  const LoadedModel loaded = load_for_inference(file_, Precision::kFp32);
  EXPECT_LT(farthest(all_logits(*loaded.model, golden_.tokens), golden_.logits), 1e-4);
}

TEST_P(Converted, AsAHuggingFaceDirectoryItSaysTheSame) {
  const LoadedModel loaded = load_model(file_);
  const Scratch scratch;
  save_model(*loaded.model, loaded.card, scratch.path(), DType::kF32);
  const LoadedModel again = load_model(scratch.path());
  EXPECT_LT(farthest(all_logits(*again.model, golden_.tokens), golden_.logits), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Architectures, Converted,
                         testing::Values("llama_biases_llama3_rope", "qwen2_yarn_rope", "qwen3",
                                         "gpt2", "gpt_neox_parallel", "bloom"),
                         [](const auto& test) { return std::string(test.param); });

class Written : public testing::TestWithParam<const char*> {};

// F32 holds every weight; frequencies and sizes pass through fp32 numbers. |difference| <= 1e-5.
TEST_P(Written, InF32TheModelComesBack) {
  const Golden golden(kFamilies + GetParam() + "/golden.json");
  const LoadedModel original = load_model(kFamilies + GetParam());
  const Scratch scratch;
  save_gguf(*original.model, original.card, GgmlType::kF32, {}, scratch.path(), kSilent);
  const LoadedModel again = load_model(scratch.path());
  EXPECT_EQ(again.model->config().parameters(), original.model->config().parameters());
  EXPECT_EQ(again.model->config().max_positions, original.model->config().max_positions);
  EXPECT_EQ(again.model->config().window, original.model->config().window);
  const Tensor before = all_logits(*original.model, golden.tokens);
  const Tensor after = all_logits(*again.model, golden.tokens);
  ASSERT_EQ(before.size(), after.size());
  for (int64_t i = 0; i < before.size(); ++i)
    ASSERT_NEAR(after.data()[i], before.data()[i], 1e-5) << i;
}

INSTANTIATE_TEST_SUITE_P(Families, Written,
                         testing::Values("llama_biases_llama3_rope", "llama_linear_rope",
                                         "mistral_window", "qwen2_yarn_rope", "qwen2_window_above",
                                         "qwen3", "gpt2", "gpt_neox_parallel",
                                         "gpt_neox_sequential", "bloom"),
                         [](const auto& test) { return std::string(test.param); });

TEST(GgufModels, EndsOfTextTurnAndMessageAllCount) {
  ModelConfig config = tiny_config();
  Transformer model(config);
  randomise(model, 2);
  const Scratch scratch;
  GgufMetadata metadata;
  metadata.put("tokenizer.ggml.eos_token_id", uint32_t{3});
  metadata.put("tokenizer.ggml.eot_token_id", uint32_t{9});
  metadata.put("tokenizer.ggml.eom_token_id", uint32_t{8});
  save_gguf(model, {}, GgmlType::kF32, std::move(metadata), scratch.path(), kSilent);
  EXPECT_EQ(read_model_config(scratch.path()).eos, (std::vector<TokenId>{9, 3, 8}));
}

// A LLaMA with a type of its own in every place, against transformers with the dequantised weights.
TEST(GgufModels, EveryTypeComputesWhatItsNumbersSay) {
  const Golden golden(kFiles + "mixed.json");
  const LoadedModel loaded = load_model(kFiles + "mixed.gguf");
  EXPECT_LT(farthest(all_logits(*loaded.model, golden.tokens), golden.logits), 1e-4);
}

// Each weight that was rounded is what the block functions, checked elsewhere, make of it.
TEST(GgufModels, RoundedWeightsAreThoseOfTheBlocks) {
  ModelConfig config = tiny_config();
  config.dim = 64;
  config.heads = 4;
  config.head_dim = 16;
  config.ffn = 96;
  Transformer model(config);
  randomise(model, 5);
  for (const GgmlType type : {GgmlType::kF16, GgmlType::kBf16, GgmlType::kQ8_0, GgmlType::kQ4_0}) {
    const Scratch scratch;
    save_gguf(model, {}, type, {}, scratch.path(), kSilent);
    const LoadedModel again = load_model(scratch.path());
    std::vector<std::vector<float>> want;
    model.visit([&](const Parameter& p) {
      GgmlType own = p.value.shape().size() == 1 ? GgmlType::kF32 : type;
      if (type == GgmlType::kQ4_0 && (p.name == "embedding" || p.name == "head"))
        own = GgmlType::kQ8_0;
      want.emplace_back(static_cast<size_t>(p.value.size()));
      from_ggml(own, to_ggml(own, p.value.values(), "x"), want.back());
    });
    size_t next = 0;
    again.model->visit([&](const Parameter& p) {
      const auto got = p.value.values();
      EXPECT_TRUE(std::equal(got.begin(), got.end(), want[next].begin(), want[next].end()))
          << ggml_type_name(type) << " " << p.name;
      ++next;
    });
  }
}

TEST(GgufModels, RowsThatAreNoWholeBlocksStayF16) {
  EXPECT_EQ(stored_type(GgmlType::kQ8_0, "blk.0.attn_q.weight", {40, 24}), GgmlType::kF16);
  EXPECT_EQ(stored_type(GgmlType::kQ8_0, "blk.0.attn_q.weight", {24, 32}), GgmlType::kQ8_0);
  EXPECT_EQ(stored_type(GgmlType::kQ4_0, "output.weight", {24, 32}), GgmlType::kQ8_0);
  EXPECT_EQ(stored_type(GgmlType::kF16, "blk.0.attn_norm.weight", {32}), GgmlType::kF32);
}

TEST(GgufModels, TheCardComesBack) {
  Transformer model(tiny_config());
  randomise(model, 6);
  ModelCard card;
  card.prompt_template = "Q: {prompt} A:";
  card.block = 4;
  card.labels = {"a", "b"};
  const Scratch scratch;
  save_gguf(model, card, GgmlType::kF32, {}, scratch.path(), kSilent);
  const ModelCard again = load_model(scratch.path()).card;
  EXPECT_EQ(again.prompt_template, card.prompt_template);
  EXPECT_EQ(again.block, 4);
  EXPECT_EQ(again.labels, card.labels);
}

TEST(GgufModels, FamiliesWithoutAFormAreNamed) {
  for (const char* name : {"gptj", "llada", "dream"}) {
    const LoadedModel loaded = load_model(kFamilies + name);
    const Scratch scratch;
    try {
      save_gguf(*loaded.model, {}, GgmlType::kF16, {}, scratch.path(), kSilent);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      EXPECT_NE(std::string(error.what()).find("supported: llama"), std::string::npos);
    }
    EXPECT_FALSE(file_exists(scratch.path()));
  }
}

// Frequencies to 1e-6 of themselves.
TEST(RopeFactors, LlamaThreeIsRecognised) {
  ModelConfig config = tiny_config();
  config.head_dim = 128;
  config.rope_theta = 500000;
  for (const auto& [factor, original] : {std::pair{8.0, 8192}, {32.0, 8192}, {8.0, 512}}) {
    config.rope_scaling = {
        .kind = RopeScaling::Kind::kLlama3, .factor = factor, .original_positions = original};
    ModelConfig plain = config;
    plain.rope_scaling = {};
    ModelConfig again = plain;
    again.rope_scaling = scaling_from_factors(plain, factors_of_scaling(config), "x");
    EXPECT_EQ(again.rope_scaling.factor, factor);
    EXPECT_EQ(again.rope_scaling.original_positions, original);
    EXPECT_EQ(again.rope_scaling.low_frequency, 1);
    EXPECT_EQ(again.rope_scaling.high_frequency, 4);
    const auto want = rope_frequencies(config), got = rope_frequencies(again);
    for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i] / want[i], 1, 1e-6) << i;
  }
}

TEST(RopeFactors, OtherScalingsAreRefused) {
  ModelConfig config = tiny_config();
  config.head_dim = 8;
  for (const std::vector<float>& factors : {std::vector<float>{4, 1, 1, 8},
                                            {1, 0, 2, 8},
                                            {1, 1, 1, -3},
                                            {1, NAN, 2, 8},
                                            {1, 1, 1, INFINITY}})
    EXPECT_THROW(scaling_from_factors(config, factors, "x"), Error);
  EXPECT_EQ(scaling_from_factors(config, {1, 1, 1, 1}, "x").kind, RopeScaling::Kind::kNone);
}

}  // namespace
}  // namespace alambic
