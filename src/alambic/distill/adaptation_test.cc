#include "alambic/distill/adaptation.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "alambic/base/file.h"
#include "alambic/distill/encoding.h"
#include "alambic/models/hf_directory.h"
#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

// An autoregressive model of nothing much, with data that it can learn.
class Adaptation : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(directory_ + "/model");
    std::string lines;
    std::vector<std::string> texts;
    for (int i = 0; i < 60; ++i) {
      const std::string text = "the " + std::to_string(i) + " dogs ran and ran and ran home";
      texts.push_back(text);
      lines += dump_json(Json{{"text", text}}) + "\n";
    }
    write_file_atomic(directory_ + "/data.jsonl", lines);
    const Tokenizer tokenizer =
        train_bpe(texts, {.vocab_size = 300, .special_tokens = {"<|endoftext|>"}});
    tokenizer.save(directory_ + "/model");
    ModelConfig c;
    c.vocab_size = tokenizer.vocab_size();
    c.dim = 16;
    c.layers = 2;
    c.heads = c.kv_heads = 2;
    c.head_dim = 8;
    c.ffn = 32;
    c.max_positions = 64;
    Transformer model(c);
    model.initialise(1);
    save_model(model, {}, directory_ + "/model", DType::kF32);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  Recipe recipe(const std::string& model, int max_tokens = 48) const {
    return parse_recipe(
        "[data]\nsource = \"files\"\ntrain = \"" + directory_ +
            "/data.jsonl\"\nvalidation = 6\ntest_limit = 10\n[student.train]\nsteps = 12\n"
            "tokens_per_step = 256\n[polish]\nsteps = 4\nprompts = 8\nmax_new_tokens = 8\n"
            "[eval]\nmax_new_tokens = 12\nspeed_prompts = 4\n",
        "r.toml",
        {"student.init=adapt", "student.model=" + dump_json(Json(model)),
         "data.max_tokens=" + std::to_string(max_tokens)});
  }
  AdaptationReport adapt(const std::string& model, const std::string& out, int max_tokens = 48) {
    RunOptions options;
    options.directory = directory_ + "/" + out;
    options.resume = true;
    return run_adaptation(recipe(model, max_tokens), options);
  }

  std::string directory_ =
      std::filesystem::temp_directory_path() / ("alambic_adapt_" + std::to_string(::getpid()));
};

TEST_F(Adaptation, GivesTheModelAMaskTokenBesideItsOwn) {
  const AdaptationReport report = adapt(directory_ + "/model", "out");
  ModelCard card;
  const ModelConfig before = read_model_config(directory_ + "/model"),
                    after = read_model_config(directory_ + "/out", &card);
  const Tokenizer old = Tokenizer::load(directory_ + "/model"),
                  extended = Tokenizer::load(directory_ + "/out");
  EXPECT_EQ(after.vocab_size, before.vocab_size + 1);
  EXPECT_EQ(after.mask, before.vocab_size);
  EXPECT_EQ(extended.find(kMaskToken), after.mask);
  EXPECT_EQ(card.block, 8);
  EXPECT_EQ(extended.encode("the 12 dogs ran"), old.encode("the 12 dogs ran"));
  EXPECT_GT(report.texts, 0);
  EXPECT_GT(report.before.perplexity.value, 1);
  EXPECT_EQ(parse_json(read_file(directory_ + "/out/adaptation.json"), "report"),
            Json(to_json(report)));
}

TEST_F(Adaptation, WhatIsFinishedIsMeasuredAgainToTheSameFigures) {
  const AdaptationReport first = adapt(directory_ + "/model", "out");
  EXPECT_EQ(dump_json(to_json(adapt(directory_ + "/model", "out"))), dump_json(to_json(first)));
}

std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_F(Adaptation, RefusesWhatCannotTakeAMaskToken) {
  LoadedModel loaded = load_model(directory_ + "/model");
  freeze_for_inference(*loaded.model, Precision::kFp32);
  save_quantized_model(*loaded.model, quantize(*loaded.model, {}), false, {},
                       directory_ + "/quantised");
  std::filesystem::copy_file(directory_ + "/model/tokenizer.json",
                             directory_ + "/quantised/tokenizer.json");
  const auto why = [&](const std::string& model, int max_tokens = 48) {
    return refusal([&] { adapt(model, "refused", max_tokens); });
  };
  EXPECT_NE(why(directory_ + "/quantised").find("quantised"), std::string::npos);
  EXPECT_NE(why(directory_ + "/model", 100).find("64 positions"), std::string::npos);
  EXPECT_NE(why(directory_ + "/nowhere").find("nowhere"), std::string::npos);
}

}  // namespace
}  // namespace alambic
