#include "alambic/models/mask_token.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "alambic/base/file.h"
#include "alambic/models/hf_directory.h"
#include "alambic/models/test_models.h"

namespace alambic {
namespace {

Tensor causal_logits(const LanguageModel& model, const std::vector<TokenId>& tokens) {
  const Forward forward{.groups = {{static_cast<int>(tokens.size()), 0}}};
  return model.logits(model.hidden(tokens, forward), Precision::kFp32);
}

class MaskTokenOfFamily : public testing::TestWithParam<const char*> {};

TEST_P(MaskTokenOfFamily, LeavesWhatTheModelSaidAsItWasToTheBit) {
  const std::string directory = std::string(ALAMBIC_GOLDEN_DIR "/") + GetParam();
  const LoadedModel loaded = load_model(directory);
  const int vocab = loaded.model->config().vocab_size;
  const auto grown = with_mask_token(*loaded.model, vocab);
  EXPECT_EQ(grown->config().vocab_size, vocab + 1);
  EXPECT_EQ(grown->config().mask, vocab);
  const std::vector<TokenId> tokens = random_tokens(12, vocab, 5);
  const Tensor before = causal_logits(*loaded.model, tokens), after = causal_logits(*grown, tokens);
  for (int64_t r = 0; r < before.rows(); ++r) {
    for (int64_t j = 0; j < vocab; ++j) ASSERT_EQ(after.row(r)[j], before.row(r)[j]);
  }
}

TEST_P(MaskTokenOfFamily, SurvivesSavingAndLoading) {
  const LoadedModel loaded = load_model(std::string(ALAMBIC_GOLDEN_DIR "/") + GetParam());
  const auto grown = with_mask_token(*loaded.model, loaded.model->config().vocab_size);
  std::string name = GetParam();
  std::replace(name.begin(), name.end(), '/', '_');
  const std::string copy = testing::TempDir() + "alambic_mask_" + name;
  save_model(*grown, {}, copy, DType::kF32);
  const LoadedModel again = load_model(copy);
  EXPECT_EQ(again.model->config().mask, grown->config().mask);
  const std::vector<TokenId> tokens{1, grown->config().mask, 3};
  const Tensor want = causal_logits(*grown, tokens), got = causal_logits(*again.model, tokens);
  for (int64_t i = 0; i < want.size(); ++i) ASSERT_EQ(got.data()[i], want.data()[i]);
}

INSTANTIATE_TEST_SUITE_P(All, MaskTokenOfFamily,
                         testing::Values("llama/gqa_untied_f32", "llama/wide_heads_tied_f16",
                                         "families/mistral_window", "families/qwen2_yarn_rope",
                                         "families/qwen3", "families/gpt2", "families/gptj",
                                         "families/gpt_neox_parallel", "families/bloom"),
                         [](const auto& test) {
                           const std::string name = test.param;
                           return name.substr(name.find('/') + 1);
                         });

TEST(MaskToken, BeginsAsTheMeanOfTheOtherTokens) {
  Transformer model(tiny_config());
  randomise(model, 3);
  const auto grown = with_mask_token(model, 61);
  grown->visit([&](const Parameter& p) {
    if (p.name != "embedding") return;
    double mean = 0;
    for (int r = 0; r < 61; ++r) mean += double{p.value.row(r)[4]} / 61;
    EXPECT_NEAR(p.value.row(61)[4], mean, 1e-6);
  });
}

TEST(MaskToken, MayTakeARowOfPadding) {
  Transformer model(tiny_config());
  randomise(model, 3);
  const auto grown = with_mask_token(model, 60);
  EXPECT_EQ(grown->config().vocab_size, 61);
  EXPECT_EQ(grown->config().mask, 60);
}

TEST(MaskToken, RefusesModelsThatCannotTakeOne) {
  Transformer model(tiny_config());
  randomise(model, 3);
  EXPECT_THROW(with_mask_token(model, 62), Error);  // would leave 61 without a row
  EXPECT_THROW(with_mask_token(model, -1), Error);
  const LoadedModel bidirectional = load_model(ALAMBIC_GOLDEN_DIR "/families/llada");
  EXPECT_THROW(with_mask_token(*bidirectional.model, 5), Error);
  freeze_for_inference(model, Precision::kFp32);
  use_quantized(model, quantize(model, {}));
  EXPECT_THROW(with_mask_token(model, 61), Error);
}

}  // namespace
}  // namespace alambic
