#include "alambic/decode/decode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/decode/test_models.h"
#include "alambic/models/hf_directory.h"
#include "alambic/text/tokenizer.h"

namespace alambic {
namespace {

TEST(Autoregressive, WritesTheArgmaxOfTheFullPrefixAtEveryStep) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const auto model = random_model(1, 0, precision);
    GenerateOptions options;
    options.max_tokens = 24;
    options.vocabulary = 39;
    options.precision = precision;
    for (const Prompt& prompt : random_prompts(10, 2)) {
      const Generation out = write(DecodeMode::kAutoregressive, *model, prompt, options);
      std::vector<TokenId> text = prompt.tokens;
      double log_probability = 0;
      for (int i = 0; i < 24; ++i) {
        const std::vector<float> logits = full_prefix_logits(*model, text, precision);
        double sum = 0;
        TokenId best = 0;
        for (TokenId t = 0; t < kTestMask; ++t) {
          sum += std::exp(static_cast<double>(logits[static_cast<size_t>(t)]));
          if (logits[static_cast<size_t>(t)] > logits[static_cast<size_t>(best)]) best = t;
        }
        log_probability += logits[static_cast<size_t>(best)] - std::log(sum);
        text.push_back(best);
      }
      EXPECT_TRUE(std::equal(out.tokens.begin(), out.tokens.end(), text.end() - 24, text.end()));
      EXPECT_NEAR(out.log_probability, log_probability, 1e-4);
      EXPECT_EQ(out.forwards, 24);
      EXPECT_EQ(out.rows, static_cast<int64_t>(prompt.tokens.size()) + 23);
      EXPECT_EQ(out.tokens_per_forward(), 1.0);
    }
  }
}

TEST(Autoregressive, APromptReadInPiecesDecidesAsOneReadWhole) {
  const auto model = random_model(3, 0, Precision::kFp32, 4096);
  GenerateOptions options;
  options.max_tokens = 3;
  options.vocabulary = 39;
  Prompt prompt = random_prompts(1, 4).front();
  Rng rng(5);
  while (prompt.tokens.size() < 2500)
    prompt.tokens.push_back(static_cast<TokenId>(rng.below(kTestMask)));
  const Generation out = write(DecodeMode::kAutoregressive, *model, prompt, options);
  EXPECT_EQ(out.forwards, 3 + 2);
  std::vector<TokenId> text = prompt.tokens;
  for (const TokenId token : out.tokens) {
    const std::vector<float> logits = full_prefix_logits(*model, text);
    EXPECT_EQ(token, std::max_element(logits.begin(), logits.begin() + kTestMask) - logits.begin());
    text.push_back(token);
  }
  EXPECT_EQ(write(DecodeMode::kSpeculative, *model, prompt, options).tokens, out.tokens);
}

TEST(Autoregressive, ARaggedBatchEqualsOneByOne) {
  const auto model = random_model(6, 3);
  std::vector<Prompt> prompts = random_prompts(60, 7, 120);
  for (size_t i = 0; i < prompts.size(); ++i) prompts[i].stream = i;
  for (const double temperature : {0.0, 1.0}) {
    GenerateOptions options;
    options.max_tokens = 20;
    options.temperature = temperature;
    options.stop = {5, 6, 17, 23};
    options.vocabulary = 39;
    std::vector<Generation> single;
    for (const Prompt& prompt : prompts) {
      single.push_back(write(DecodeMode::kAutoregressive, *model, prompt, options));
    }
    for (const int size : {1, 7, 32}) {
      const auto batch =
          generate_all(DecodeMode::kAutoregressive, *model, prompts, options, {size, ""});
      ASSERT_EQ(batch.size(), prompts.size());
      for (size_t i = 0; i < prompts.size(); ++i) {
        const Generation& alone = single[i];
        EXPECT_EQ(batch[i].tokens, alone.tokens);
        EXPECT_EQ(batch[i].log_probability, alone.log_probability);
        EXPECT_EQ(batch[i].stopped, alone.stopped);
        EXPECT_EQ(batch[i].rows, alone.rows);
      }
    }
  }
}

// What all prompts begin with is read once; what is written stays the same.
TEST(Autoregressive, ASharedBeginningIsReadOnce) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const auto model = random_model(6, 3, precision);
    std::vector<Prompt> prompts = random_prompts(9, 7);
    const std::vector<TokenId> beginning = {1, 5, 9, 2, 8, 8, 3, 30, 4, 4, 7};
    for (Prompt& prompt : prompts)
      prompt.tokens.insert(prompt.tokens.begin(), beginning.begin(), beginning.end());
    prompts[4].tokens = beginning;  // one of them is nothing else
    GenerateOptions options;
    options.max_tokens = 12;
    options.precision = precision;
    const auto batch =
        generate_all(DecodeMode::kAutoregressive, *model, prompts, options, {.batch = 4});
    for (size_t i = 0; i < prompts.size(); ++i) {
      const Generation alone = write(DecodeMode::kAutoregressive, *model, prompts[i], options);
      EXPECT_EQ(batch[i].tokens, alone.tokens);
      EXPECT_EQ(batch[i].log_probability, alone.log_probability);
      // All of it but its last token, which the shortest prompt keeps for itself.
      EXPECT_EQ(batch[i].rows, alone.rows - static_cast<int64_t>(beginning.size()) + 1);
    }
  }
}

TEST(Speculative, WritesWhatAutoregressiveDecodingWrites) {
  int64_t forwards = 0, decided = 0, compared = 0;
  uint64_t prompt_seed = 100;
  for (const float habit : {0.0F, 4.0F}) {
    for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
      const auto model = random_model(8, habit, precision);
      for (const int block : {1, 2, 4, 9}) {
        for (const double temperature : {0.0, 0.8}) {
          GenerateOptions options;
          options.max_tokens = 30;
          options.temperature = temperature;
          options.seed = 9;
          options.stop = {21};
          options.vocabulary = 39;
          options.precision = precision;
          options.block = block;
          std::vector<Prompt> prompts = random_prompts(20, ++prompt_seed);
          for (size_t i = 0; i < prompts.size(); ++i) prompts[i].stream = i;
          const auto expected = generate_all(DecodeMode::kAutoregressive, *model, prompts, options);
          for (size_t i = 0; i < prompts.size(); ++i) {
            const Generation out = write(DecodeMode::kSpeculative, *model, prompts[i], options);
            ASSERT_EQ(out.tokens, expected[i].tokens);
            EXPECT_EQ(out.log_probability, expected[i].log_probability);
            EXPECT_EQ(out.stopped, expected[i].stopped);
            EXPECT_LE(out.forwards, expected[i].forwards);
            ++compared;
            if (habit > 3 && block == 9) {
              forwards += out.forwards;
              decided += out.decided;
            }
          }
        }
      }
    }
  }
  EXPECT_GE(compared, 2 * 300);
  // The habit makes drafts stand often enough that accepting several at once is tried too.
  EXPECT_GT(static_cast<double>(decided), 1.3 * static_cast<double>(forwards));
}

// Whatever is drafted, verified together or in turn, alone or beside others.
TEST(Speculative, EveryLayoutWritesTheSameAloneAndInABatch) {
  for (const float habit : {1.0F, 4.0F}) {
    const auto model = random_model(31, habit);
    std::vector<Prompt> prompts = random_prompts(14, 32);
    for (size_t i = 0; i < prompts.size(); ++i) prompts[i].stream = i;
    for (const double temperature : {0.0, 1.1}) {
      GenerateOptions options;
      options.max_tokens = 33;
      options.temperature = temperature;
      options.stop = {21};
      const auto expected = generate_all(DecodeMode::kAutoregressive, *model, prompts, options);
      for (const DecodeMode mode : {DecodeMode::kSpeculative, DecodeMode::kLookup}) {
        for (const int drafts : {-1, 0, 1, 5}) {
          for (const int outcomes : {-1, 0, 1, 3}) {
            options.drafts = drafts;
            options.outcomes = outcomes;
            for (const int batch : {1, 5}) {
              const auto out = generate_all(mode, *model, prompts, options, {.batch = batch});
              for (size_t i = 0; i < prompts.size(); ++i) {
                ASSERT_EQ(out[i].tokens, expected[i].tokens) << name_of(mode) << drafts << outcomes;
                ASSERT_EQ(out[i].log_probability, expected[i].log_probability);
                ASSERT_EQ(out[i].stopped, expected[i].stopped);
              }
            }
          }
        }
      }
    }
  }
}

TEST(Speculative, ATextEndsWithinThePositionsOfTheModel) {
  const auto model = random_model(33, 4, Precision::kFp32, 24);
  GenerateOptions options;
  options.max_tokens = 100;
  options.drafts = 7;
  for (const Prompt& prompt : random_prompts(10, 34)) {
    const Generation out = write(DecodeMode::kSpeculative, *model, prompt, options);
    EXPECT_EQ(out.tokens.size(), 24 - prompt.tokens.size());
    EXPECT_EQ(out.tokens, write(DecodeMode::kAutoregressive, *model, prompt, options).tokens);
  }
}

// Chi-square of the first three tokens together, over a vocabulary of 6, against the product of the
// model's own probabilities.
TEST(Speculative, SampledTextsHaveTheDistributionOfTheModel) {
  constexpr int kTokens = 6, kDraws = 12000;
  constexpr double kTemperature = 3;
  const auto model = random_model(35, 2);
  GenerateOptions options;
  options.max_tokens = 3;
  options.temperature = kTemperature;
  options.vocabulary = kTokens;
  options.drafts = 2;
  options.block = 3;
  const Prompt prompt{{1, 4, 2}};
  std::vector<double> expected(kTokens * kTokens * kTokens), seen(expected.size());
  for (int a = 0; a < kTokens; ++a) {
    for (int b = 0; b < kTokens; ++b) {
      for (int c = 0; c < kTokens; ++c) {
        std::vector<TokenId> text = prompt.tokens;
        double p = 1;
        for (const int token : {a, b, c}) {
          const std::vector<float> logits = full_prefix_logits(*model, text);
          double sum = 0;
          const auto weight = [&](int t) {
            return std::exp(double{logits[static_cast<size_t>(t)]} / kTemperature);
          };
          for (int t = 0; t < kTokens; ++t) sum += weight(t);
          p *= weight(token) / sum;
          text.push_back(token);
        }
        expected[static_cast<size_t>((a * kTokens + b) * kTokens + c)] = p * kDraws;
      }
    }
  }
  std::vector<Prompt> prompts(kDraws, prompt);
  for (size_t i = 0; i < prompts.size(); ++i) prompts[i].stream = i;
  for (const Generation& g : generate_all(DecodeMode::kSpeculative, *model, prompts, options)) {
    seen[static_cast<size_t>((g.tokens[0] * kTokens + g.tokens[1]) * kTokens + g.tokens[2])] += 1;
  }
  // Cells that expect fewer than five draws are counted as one.
  double statistic = 0, rare_expected = 0, rare_seen = 0;
  int cells = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] < 5) {
      rare_expected += expected[i];
      rare_seen += seen[i];
      continue;
    }
    statistic += (seen[i] - expected[i]) * (seen[i] - expected[i]) / expected[i];
    ++cells;
  }
  if (rare_expected > 0) {
    statistic += (rare_seen - rare_expected) * (rare_seen - rare_expected) / rare_expected;
    ++cells;
  }
  // Four standard deviations above the mean of a chi-square of so many degrees of freedom.
  ASSERT_GT(cells, 20);
  EXPECT_LT(statistic, cells - 1 + 4 * std::sqrt(2.0 * (cells - 1)));
}

TEST(Lookup, WhatTheTextRepeatsIsReadManyTokensAtATime) {
  const PositionModel model;  // its text repeats after 30 tokens
  GenerateOptions options;
  options.max_tokens = 200;
  options.drafts = 8;
  const Generation out = write(DecodeMode::kLookup, model, PositionModel::prompt(40), options);
  for (int i = 0; i < options.max_tokens; ++i)
    EXPECT_EQ(out.tokens[static_cast<size_t>(i)], PositionModel::text(40 + i));
  EXPECT_LE(out.forwards, 1 + 199 / 9 + 1);
}

TEST(Speculative, TopKAndTopPDrawWhatAutoregressiveDecodingDraws) {
  const auto model = random_model(10, 3);
  for (const auto& [top_k, top_p] : {std::pair{5, 1.0}, std::pair{0, 0.8}, std::pair{10, 0.9}}) {
    GenerateOptions options;
    options.max_tokens = 40;
    options.temperature = 1.2;
    options.top_k = top_k;
    options.top_p = top_p;
    for (const Prompt& prompt : random_prompts(30, 11)) {
      EXPECT_EQ(write(DecodeMode::kSpeculative, *model, prompt, options).tokens,
                write(DecodeMode::kAutoregressive, *model, prompt, options).tokens);
    }
  }
}

TEST(Speculative, ADraftThatAlwaysStandsSettlesOneTokenMoreThanTheDrafts) {
  const PositionModel model;
  GenerateOptions options;
  options.max_tokens = 1 + 4 * 10;
  options.block = 4;
  options.drafts = 3;
  const Generation out = write(DecodeMode::kSpeculative, model, PositionModel::prompt(3), options);
  for (int i = 0; i < options.max_tokens; ++i) {
    EXPECT_EQ(out.tokens[static_cast<size_t>(i)], PositionModel::text(3 + i));
  }
  // The prompt's forward settles one token, each later one its three drafts and one more.
  EXPECT_EQ(out.forwards, 1 + 10);
  // 3 + 4 masks; nine steps of 1 + 3 rows and 4 groups of 4 masks; where four tokens are left, a
  // next step could use two drafts behind no accepted one, one behind one, none behind more.
  EXPECT_EQ(out.rows, 7 + 9 * (4 + 16) + 4 + 3 + 2);
  ASSERT_EQ(out.drafts.size(), 3U);
  for (const DraftCount& distance : out.drafts) {
    EXPECT_EQ(distance.judged, 10);
    EXPECT_EQ(distance.accepted, 10);
  }
}

// One group of masks bets on all drafts standing; none drafts and verifies in turn.
TEST(Speculative, NarrowLayoutsSettleAsManyTokensAForwardAsTheyPromise) {
  const PositionModel model;
  GenerateOptions options;
  options.max_tokens = 1 + 4 * 10;
  options.block = 4;
  options.drafts = 3;
  options.outcomes = 1;
  const Generation fused =
      write(DecodeMode::kSpeculative, model, PositionModel::prompt(3), options);
  EXPECT_EQ(fused.forwards, 1 + 10);
  EXPECT_EQ(fused.rows, 7 + 9 * (4 + 4) + 4);
  options.outcomes = 0;
  options.max_tokens = 1 + 4 + 5 * 7;  // a verifying step settles 4, a drafting one 1
  const Generation turns =
      write(DecodeMode::kSpeculative, model, PositionModel::prompt(3), options);
  EXPECT_EQ(turns.forwards, 1 + 1 + 2 * 7);
  EXPECT_EQ(turns.tokens.size(), 40U);
}

TEST(Speculative, AWrongDraftCostsItsSuccessorsOnly) {
  const PositionModel model(5);
  GenerateOptions options;
  options.max_tokens = 100;
  options.drafts = 7;
  const Generation out = write(DecodeMode::kSpeculative, model, PositionModel::prompt(3), options);
  ASSERT_EQ(out.tokens.size(), 100U);
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(out.tokens[static_cast<size_t>(i)], PositionModel::text(3 + i));
  EXPECT_LE(out.forwards, 50);
  EXPECT_GE(out.forwards, 20);
}

TEST(Decoders, RespectLimitsStopTokensAndTheSink) {
  const auto model = random_model(20, 3, Precision::kFp32, 32);
  for (const char* name : {"ar", "speculative", "diffusion"}) {
    const DecodeMode mode = decode_mode_from_name(name);
    GenerateOptions options;
    options.remask = 0;
    for (const int limit : {0, 1, 2, 8, 13}) {
      options.max_tokens = limit;
      std::vector<TokenId> heard;
      const auto listen = [&](TokenId token) {
        heard.push_back(token);
        return true;
      };
      const Generation out = write(mode, *model, {{1, 2, 3}}, options, listen);
      EXPECT_EQ(out.tokens.size(), static_cast<size_t>(limit)) << name;
      EXPECT_EQ(heard, out.tokens);
      EXPECT_FALSE(out.stopped);
    }
    const auto hang_up = [n = 0](TokenId) mutable { return ++n < 3; };
    EXPECT_EQ(write(mode, *model, {{1, 2, 3}}, options, hang_up).tokens.size(), 3U) << name;
    options.max_tokens = 1 << 30;
    EXPECT_EQ(write(mode, *model, {{1, 2, 3}}, options).tokens.size(), 29U) << name;
    const TokenId second = write(mode, *model, {{1, 2, 3}}, options).tokens[1];
    options.stop = {second};
    const Generation out = write(mode, *model, {{1, 2, 3}}, options);
    EXPECT_EQ(std::count(out.tokens.begin(), out.tokens.end(), second), 0) << name;
    // A stop token changes the order in which a block is written, and so may change the block.
    if (mode != DecodeMode::kDiffusion) {
      EXPECT_TRUE(out.stopped) << name;
      EXPECT_LE(out.tokens.size(), 1U) << name;
    }
  }
}

TEST(Decoders, RefuseWhatCannotBeCarriedOut) {
  const auto model = random_model(21, 0, Precision::kFp32, 32);
  const auto refuses = [&](const Prompt& prompt, const GenerateOptions& options, ErrorCode code,
                           DecodeMode mode = DecodeMode::kAutoregressive) {
    try {
      write(mode, *model, prompt, options);
    } catch (const Error& error) {
      return error.code() == code;
    }
    return false;
  };
  GenerateOptions good;
  EXPECT_TRUE(refuses({}, good, ErrorCode::kInvalidArgument));
  EXPECT_TRUE(refuses({{kTestVocabulary}}, good, ErrorCode::kInvalidArgument));
  EXPECT_TRUE(refuses({{-1}}, good, ErrorCode::kInvalidArgument));
  EXPECT_TRUE(refuses({std::vector<TokenId>(32, 1)}, good, ErrorCode::kInvalidArgument));
  const auto with = [&](auto change) {
    GenerateOptions options;
    change(options);
    return refuses({{1}}, options, ErrorCode::kInvalidArgument);
  };
  EXPECT_TRUE(with([](auto& o) { o.max_tokens = -1; }));
  EXPECT_TRUE(with([](auto& o) { o.temperature = std::nan(""); }));
  EXPECT_TRUE(with([](auto& o) { o.temperature = -1; }));
  EXPECT_TRUE(with([](auto& o) { o.top_p = 0; }));
  EXPECT_TRUE(with([](auto& o) { o.top_k = -1; }));
  EXPECT_TRUE(with([](auto& o) { o.block = 1 << 20; }));
  EXPECT_TRUE(with([](auto& o) { o.reveal.threshold = std::nan(""); }));
  GenerateOptions options;
  options.block = 0;
  EXPECT_TRUE(refuses({{1}}, options, ErrorCode::kUnsupported, DecodeMode::kSpeculative));
  EXPECT_TRUE(refuses({{1}}, options, ErrorCode::kUnsupported, DecodeMode::kDiffusion));
  EXPECT_THROW(decode_mode_from_name("beam"), Error);
  model->visit([](Parameter& p) { p.value.values()[0] = NAN; });
  EXPECT_TRUE(refuses({{0}}, good, ErrorCode::kCorruptData));
}

TEST(Decoders, ARealModelTellsAStory) {
  const char* data = std::getenv("ALAMBIC_DATA");
  const std::string directory =
      std::string(data != nullptr ? data : ALAMBIC_SOURCE_DIR "/../shared/data") +
      "/weights_tinystories656K";
  if (!file_exists(directory + "/config.json")) GTEST_SKIP() << directory << " is not here";
  LoadedModel loaded = load_model(directory);
  freeze_for_inference(*loaded.model, Precision::kFp32);
  const Tokenizer tokenizer = Tokenizer::load(directory);
  GenerateOptions options;
  options.max_tokens = 60;
  options.vocabulary = tokenizer.vocab_size();
  const Generation out = write(DecodeMode::kAutoregressive, *loaded.model,
                               {tokenizer.encode("Once upon a time, there was")}, options);
  const std::string text = tokenizer.decode(out.tokens);
  EXPECT_NE(text.find(" who lived in a "), std::string::npos) << text;
  EXPECT_GT(out.log_probability / 60, -1.5) << text;
}

// The text of this model is one sequence of 30 tokens over and over.
TEST(Decoders, ATextThatRunsInCirclesIsCutAtTheSameTokenInEveryMode) {
  const PositionModel model(7);
  const Prompt prompt = PositionModel::prompt(5);
  GenerateOptions options;
  options.max_tokens = 400;
  for (const DecodeMode mode : {DecodeMode::kAutoregressive, DecodeMode::kLookup,
                                DecodeMode::kSpeculative, DecodeMode::kDiffusion}) {
    options.stop = {35};  // never written
    const Generation cut = write(mode, model, prompt, options);
    EXPECT_EQ(cut.tokens.size(), 10 * 30U) << name_of(mode);
    EXPECT_TRUE(cut.in_circles && !cut.stopped);
    // Where a text has no end but its limit, circles are none.
    options.stop.clear();
    const Generation whole = write(mode, model, prompt, options);
    EXPECT_EQ(whole.tokens.size(), 400U) << name_of(mode);
    EXPECT_FALSE(whole.in_circles);
    EXPECT_TRUE(std::equal(cut.tokens.begin(), cut.tokens.end(), whole.tokens.begin()));
  }
}

}  // namespace
}  // namespace alambic
