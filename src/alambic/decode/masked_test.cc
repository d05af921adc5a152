#include "alambic/decode/masked.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <set>

#include "alambic/base/error.h"
#include "alambic/decode/test_models.h"
#include "alambic/models/hf_directory.h"

namespace alambic {
namespace {

// A bidirectional model that says logits(position, tokens) of every row.
class ScriptedModel final : public LanguageModel {
 public:
  using Script = std::function<void(int position, std::span<const TokenId> tokens, float* logits)>;
  explicit ScriptedModel(Script script, int max_positions = 64) : script_(std::move(script)) {
    config_.vocab_size = kTestVocabulary;
    config_.dim = kTestVocabulary;
    config_.layers = config_.kv_heads = config_.heads = config_.head_dim = 1;
    config_.max_positions = max_positions;
    config_.causal = false;
    config_.mask = kTestMask;
  }
  const ModelConfig& config() const override { return config_; }
  // The logits are the hidden rows.
  Tensor hidden(std::span<const TokenId> tokens, const Forward& forward) const override {
    Tensor out = Tensor::zeros({static_cast<int64_t>(tokens.size()), kTestVocabulary});
    int64_t row = 0;
    for (const RowGroup& group : forward.groups) {
      EXPECT_FALSE(group.causal);
      const auto text = tokens.subspan(static_cast<size_t>(row), static_cast<size_t>(group.rows));
      for (int i = 0; i < group.rows; ++i) script_(i, text, out.row(row++));
    }
    return out;
  }
  Tensor logits(const Tensor& rows, Precision) const override {
    head_rows += rows.rows();
    return rows;
  }
  const Tensor& head() const override { return nothing_; }
  const Tensor& head_bias() const override { return nothing_; }
  void visit(const ParameterVisitor&) override {}

  mutable int64_t head_rows = 0;

 private:
  Script script_;
  ModelConfig config_;
  Tensor nothing_;
};

// Token 1 + position, surer the farther to the left.
void countdown_script(int position, std::span<const TokenId>, float* logits) {
  logits[1 + position] = 20.0F - 0.1F * static_cast<float>(position);
}

std::unique_ptr<Transformer> random_bidirectional(uint64_t seed) {
  ModelConfig config = random_model(seed)->config();
  config.family = "llada";
  config.causal = false;
  config.max_positions = 64;
  auto model = std::make_unique<Transformer>(config);
  uint64_t stream = 0;
  model->visit([&](Parameter& p) {
    Rng rng(seed, ++stream);
    const bool vector = p.value.shape().size() == 1;
    const double std = 1.0 / std::sqrt(static_cast<double>(p.value.cols()));
    for (float& w : p.value.values()) w = static_cast<float>(vector ? 1 : 2 * std * rng.normal());
  });
  freeze_for_inference(*model, Precision::kFp32);
  return model;
}

GenerateOptions masked_options(int max_tokens) {
  GenerateOptions options;
  options.max_tokens = max_tokens;
  options.block = 0;
  return options;
}

// tests/golden/make_masked_goldens.py wrote the same tokens with a sampler and a forward of its
// own.
TEST(Masked, WritesWhatTheReferenceSamplerWritesWithLladaAndDream) {
  const std::string golden = ALAMBIC_SOURCE_DIR "/tests/golden/";
  for (const Json& c : read_json_file(golden + "masked.json")) {
    LoadedModel loaded = load_model(golden + "families/" + c.at("model").get<std::string>());
    freeze_for_inference(*loaded.model, Precision::kFp32);
    GenerateOptions options = masked_options(c.at("max_tokens").get<int>());
    options.steps = c.at("steps").get<int>();
    options.block = c.at("block").get<int>();
    const Prompt prompt{c.at("prompt").get<std::vector<TokenId>>()};
    const Generation out = MaskedDecoder(*loaded.model).generate(prompt, options, {});
    EXPECT_EQ(out.tokens, c.at("tokens").get<std::vector<TokenId>>()) << c.dump();
    EXPECT_EQ(out.forwards, options.steps);
  }
}

TEST(Masked, OfManyCanvasesEachIsWrittenAsAlone) {
  const auto model = random_bidirectional(3);
  GenerateOptions options = masked_options(12);
  options.stop = {5, 7, 11};
  for (const double temperature : {0.0, 1.0}) {
    options.temperature = temperature;
    options.remask_steps = temperature > 0 ? 3 : 0;
    std::vector<Prompt> prompts = random_prompts(9, 4);
    prompts[2].tokens = {1, kTestMask, 3, kTestMask, kTestMask};
    for (size_t i = 0; i < prompts.size(); ++i) prompts[i].stream = i;
    for (const int batch : {1, 4, 100}) {
      const auto all = generate_all(DecodeMode::kDiffusion, *model, prompts, options,
                                    {.batch = batch, .progress = ""});
      for (size_t i = 0; i < prompts.size(); ++i) {
        const Generation alone = MaskedDecoder(*model).generate(prompts[i], options, {});
        EXPECT_EQ(all[i].tokens, alone.tokens);
        EXPECT_EQ(all[i].log_probability, alone.log_probability);
        EXPECT_EQ(all[i].forwards, alone.forwards);
      }
    }
  }
}

TEST(Masked, StepsShareTheMasksEvenlyAndOnlyMasksPayForTheHead) {
  const ScriptedModel model(countdown_script);
  for (const int steps : {1, 3, 4, 7, 10, 25}) {
    GenerateOptions options = masked_options(10);
    options.steps = steps;
    std::vector<size_t> written;
    const RefinementSink watch = [&](const Refinement& r) {
      const auto masks = static_cast<size_t>(std::count(r.open.begin(), r.open.end(), kTestMask));
      written.push_back(10 - masks);
      EXPECT_EQ(r.settled.size() + r.open.size(), 10U);
    };
    options.watch = &watch;
    model.head_rows = 0;
    const Generation out = MaskedDecoder(model).generate({{30, 31}}, options, {});
    EXPECT_EQ(out.forwards, std::min(steps, 10));
    int64_t head_rows = 10;
    for (size_t i = 0; i + 1 < written.size(); ++i) {
      const size_t before = i == 0 ? 0 : written[i - 1];
      const size_t left = 10 - before, forwards = written.size() - i;
      EXPECT_EQ(written[i] - before, (left + forwards - 1) / forwards);
      head_rows += static_cast<int64_t>(10 - written[i]);
    }
    EXPECT_EQ(model.head_rows, head_rows);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(out.tokens[static_cast<size_t>(i)], 3 + i);
  }
}

TEST(Masked, BlocksAreWrittenFromLeftToRight) {
  // Surer to the right: without blocks the last token comes first.
  const ScriptedModel model([](int position, std::span<const TokenId>, float* logits) {
    logits[1] = 1.0F + 0.1F * static_cast<float>(position);
  });
  GenerateOptions options = masked_options(8);
  options.reveal.threshold = 2;  // one at a time
  options.block = 4;
  std::vector<size_t> order;
  std::set<size_t> seen;
  const RefinementSink watch = [&](const Refinement& r) {
    std::vector<TokenId> all(r.settled.begin(), r.settled.end());
    all.insert(all.end(), r.open.begin(), r.open.end());
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i] != kTestMask && seen.insert(i).second) order.push_back(i);
    }
  };
  options.watch = &watch;
  MaskedDecoder(model).generate({{30}}, options, {});
  EXPECT_EQ(order, (std::vector<size_t>{3, 2, 1, 0, 7, 6, 5, 4}));
}

// A model that is certain of the end wherever it looks, but for two tokens at the front.
TEST(Masked, TheEndIsWrittenOnlyWhenEverythingBeforeItIs) {
  const ScriptedModel model([](int position, std::span<const TokenId>, float* logits) {
    if (position == 1 || position == 2) {
      logits[10 + position] = 3;
    } else {
      logits[5] = 30;
    }
  });
  GenerateOptions options = masked_options(20);
  options.stop = {5};
  for (const int steps : {0, 1, 4, 20}) {
    options.steps = steps;
    const Generation out = MaskedDecoder(model).generate({{30}}, options, {});
    EXPECT_EQ(out.tokens, (std::vector<TokenId>{11, 12})) << steps;
    EXPECT_TRUE(out.stopped);
    EXPECT_EQ(out.decided, 3);
  }
}

TEST(Masked, RewritingRepairsWhatWasWrittenTooSoon) {
  // The second token must be one more than the first, which is only known once that is written;
  // before, a wrong guess looks fairly sure.
  const ScriptedModel model([](int position, std::span<const TokenId> tokens, float* logits) {
    if (position == 1) {
      logits[20] = 9;
    } else if (position == 2) {
      if (tokens[1] == kTestMask) {
        logits[7] = 7;
      } else {
        logits[tokens[1] + 1] = 9;
      }
    }
  });
  GenerateOptions options = masked_options(2);
  options.steps = 1;
  EXPECT_EQ(MaskedDecoder(model).generate({{30}}, options, {}).tokens,
            (std::vector<TokenId>{20, 7}));
  options.remask_steps = 1;
  const Generation mended = MaskedDecoder(model).generate({{30}}, options, {});
  EXPECT_EQ(mended.tokens, (std::vector<TokenId>{20, 21}));
  EXPECT_EQ(mended.forwards, 2);
}

TEST(Masked, AFormIsFilledInPlaceAndKeepsWhatWasGiven) {
  const ScriptedModel model(countdown_script);
  const Prompt form{{30, kTestMask, 31, kTestMask, kTestMask, 32}};
  GenerateOptions options = masked_options(100);
  options.stop = {2};  // means nothing in a form
  const Generation out = MaskedDecoder(model).generate(form, options, {});
  EXPECT_EQ(out.tokens, (std::vector<TokenId>{30, 2, 31, 4, 5, 32}));
  EXPECT_EQ(out.decided, 3);
  EXPECT_EQ(out.rows, out.forwards * 6);
}

// Each round of sampling from a model that says the same of every row: frequencies within four
// standard deviations.
TEST(Masked, SampledTokensFollowTheModel) {
  const ScriptedModel model([](int, std::span<const TokenId>, float* logits) {
    std::fill_n(logits, kTestVocabulary, -100.0F);
    logits[1] = std::log(0.5F);
    logits[2] = std::log(0.3F);
    logits[3] = std::log(0.2F);
  });
  GenerateOptions options = masked_options(40);
  options.temperature = 1;
  options.steps = 4;
  std::array<double, 4> counts{};
  for (uint64_t stream = 0; stream < 100; ++stream) {
    for (const TokenId t : MaskedDecoder(model).generate({{30}, stream}, options, {}).tokens)
      ++counts.at(static_cast<size_t>(t));
  }
  const double shares[] = {0, 0.5, 0.3, 0.2};
  for (size_t t = 1; t < 4; ++t)
    EXPECT_NEAR(counts[t], 4000 * shares[t], 4 * std::sqrt(4000 * shares[t] * (1 - shares[t])));
}

TEST(Masked, TokensReachTheSinkInOrderAndItMayEndTheText) {
  const ScriptedModel model(countdown_script);
  const GenerateOptions options = masked_options(10);
  std::vector<TokenId> seen;
  const Generation out = MaskedDecoder(model).generate({{30}}, options, [&](TokenId t) {
    seen.push_back(t);
    return seen.size() < 4;
  });
  EXPECT_EQ(seen, (std::vector<TokenId>{2, 3, 4, 5}));
  EXPECT_EQ(out.tokens, seen);
  EXPECT_FALSE(out.stopped);
}

TEST(Masked, TheEntropyRuleRevealsWhatIsCertainTogether) {
  // Even positions are certain, odd ones are a coin.
  const ScriptedModel model([](int position, std::span<const TokenId>, float* logits) {
    logits[1] = 50;
    if (position % 2 == 1) logits[2] = 50;
  });
  GenerateOptions options = masked_options(8);
  options.reveal.rule = RevealRule::kEntropy;
  // Four certain ones and the first coin, then a coin each.
  EXPECT_EQ(MaskedDecoder(model).generate({{30}}, options, {}).forwards, 4);
}

std::string masked_refusal(const LanguageModel& model, const Prompt& prompt,
                           const GenerateOptions& options, DecodeMode mode) {
  try {
    make_decoder(mode, model)->generate(prompt, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Masked, WhatCannotBeWrittenIsRefusedInOneLine) {
  const ScriptedModel model(countdown_script, 16);
  const GenerateOptions options = masked_options(8);
  for (const DecodeMode mode : {DecodeMode::kAutoregressive, DecodeMode::kSpeculative})
    EXPECT_NE(masked_refusal(model, {{1}}, options, mode).find("want diffusion"),
              std::string::npos);
  const std::vector<Prompt> one = {{{1}}};
  EXPECT_THROW(generate_all(DecodeMode::kAutoregressive, model, one, options), Error);
  const auto refused = [&](const std::vector<TokenId>& tokens) {
    return masked_refusal(model, {tokens}, options, DecodeMode::kDiffusion);
  };
  EXPECT_NE(refused(std::vector<TokenId>(5, kTestMask)).find("masks and nothing else"),
            std::string::npos);
  std::vector<TokenId> form(16, kTestMask);
  form[3] = 1;
  EXPECT_EQ(refused(form), "");
  form.push_back(1);
  EXPECT_NE(refused(form).find("at most 16"), std::string::npos);
  EXPECT_NE(refused(std::vector<TokenId>(16, 1)).find("fewer than 16"), std::string::npos);
  EXPECT_NE(refused({}), "");
  EXPECT_NE(refused({kTestVocabulary}), "");
  GenerateOptions closed = options;
  const TokenTrie trie({{1, 2}});
  closed.constraint = &trie;
  EXPECT_NE(masked_refusal(model, {{1}}, closed, DecodeMode::kDiffusion), "");
  GenerateOptions steps = options;
  steps.steps = -1;
  EXPECT_NE(masked_refusal(model, {{1}}, steps, DecodeMode::kDiffusion), "");
}

}  // namespace
}  // namespace alambic
