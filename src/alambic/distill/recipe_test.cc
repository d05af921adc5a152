#include "alambic/distill/recipe.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "alambic/distill/teacher.h"

namespace alambic {
namespace {

std::string message(const std::string& toml, const std::vector<std::string>& settings = {}) {
  try {
    parse_recipe(toml, "r.toml", settings);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Recipe, WrittenOutAndReadBackIsTheSame) {
  const Recipe recipe = parse_recipe(
      "name = \"a \\\"quoted\\\" name\"\n[student]\ndim = 96\n[objective]\ndivergence = \"jsd\"\n"
      "[signals]\nkind = \"memory\"\n[eval]\ndecode = [\"ar\"]",
      "r.toml", {"student.train.lr=0.01", "data.train=some/path.csv", "seed=7"});
  EXPECT_EQ(recipe.student.dim, 96);
  EXPECT_EQ(recipe.student_train.lr, 0.01);
  EXPECT_EQ(recipe.data.train, "some/path.csv");
  EXPECT_EQ(recipe.seed, 7U);
  const std::string text = recipe_to_toml(recipe);
  EXPECT_EQ(recipe_to_toml(parse_recipe(text, "again", {})), text);
}

TEST(Recipe, NamedTrainingDataAreRead) {
  EXPECT_EQ(parse_recipe("[data]\ntrain = \"mine.csv\"", "r.toml", {}).data.source, "files");
  EXPECT_EQ(parse_recipe("", "r.toml", {"data.train=mine.csv"}).data.source, "files");
  EXPECT_NE(message("[data]\nsource = \"support-mail\"\ntrain = \"mine.csv\"").find("not read"),
            std::string::npos);
  EXPECT_NE(message("[data]\ntest = \"mine.csv\"").find("data.train"), std::string::npos);
}

TEST(Recipe, APretrainedStudentTakesSmallSteps) {
  const TrainRecipe usual = parse_recipe("", "r.toml", {}).student_train;
  const TrainRecipe tuned = parse_recipe("", "r.toml", {"student.model=m"}).student_train;
  const TrainRecipe beside =
      parse_recipe("", "r.toml", {"student.model=m", "student.lora.rank=8"}).student_train;
  EXPECT_LT(tuned.lr, beside.lr);
  EXPECT_LT(beside.lr, usual.lr);
  EXPECT_LT(tuned.epochs, usual.epochs);
  EXPECT_EQ(
      parse_recipe("", "r.toml", {"student.model=m", "student.train.lr=0.01"}).student_train.lr,
      0.01);
}

TEST(Recipe, WhatIsLeftOpenIsWrittenAsOpen) {
  const std::string text = recipe_to_toml(parse_recipe("", "r.toml", {}));
  EXPECT_NE(text.find("alpha = 'auto'"), std::string::npos);
  EXPECT_EQ(parse_recipe(text, "again", {}).objective.alpha, kAutoAlpha);
  EXPECT_EQ(parse_recipe("", "r.toml", {"objective.alpha=0.25"}).objective.alpha, 0.25);
  EXPECT_NE(message("[objective]\nalpha = \"much\"").find("auto"), std::string::npos);
  EXPECT_NE(message("[objective]\nalpha = 1.5").find("alpha"), std::string::npos);
}

TEST(Recipe, ErrorsNameTheKey) {
  EXPECT_NE(message("[student]\ndimm = 3").find("student.dimm"), std::string::npos);
  EXPECT_NE(message("[student]\nlr = 0.1").find("did you mean \"student.train.lr\""),
            std::string::npos);
  EXPECT_NE(message("[student]\ndim = \"big\"").find("student.dim"), std::string::npos);
  EXPECT_NE(message("task = \"chess\"").find("task"), std::string::npos);
  EXPECT_NE(message("[student\n").find("r.toml:"), std::string::npos);
  EXPECT_NE(message("", {"nonsense"}).find("--set"), std::string::npos);
  EXPECT_NE(message("[data]\nsource = \"files\"").find("data.train"), std::string::npos);
}

TEST(Recipe, OfABidirectionalStudentIsReadWrittenAndChecked) {
  const Recipe recipe =
      parse_recipe("[student]\nattention = \"all\"\n[objective]\ntime_weight = \"linear\"",
                   "r.toml", {"objective.focal=1.5", "data.source=sudoku", "data.givens_max=44"});
  EXPECT_TRUE(is_bidirectional(recipe));
  EXPECT_EQ(recipe.masked.time_weight, TimeWeight::kLinear);
  EXPECT_EQ(recipe.masked.focal, 1.5);
  EXPECT_EQ(recipe.data.puzzle.givens_max, 44);
  const std::string text = recipe_to_toml(recipe);
  EXPECT_EQ(recipe_to_toml(parse_recipe(text, "again", {})), text);
  EXPECT_NE(message("[student]\nattention = \"some\"").find("causal, all"), std::string::npos);
  EXPECT_NE(message("[student]\nattention = \"all\"\nmodel = \"x\"").find("its own"),
            std::string::npos);
  EXPECT_NE(message("task = \"perplexity\"\n[student]\nattention = \"all\"").find("bidirectional"),
            std::string::npos);
  EXPECT_NE(message("[objective]\ntime_weight = \"late\"").find("inverse or linear"),
            std::string::npos);
  EXPECT_NE(message("[objective]\nfocal = 11.0").find("focal"), std::string::npos);
  EXPECT_NE(message("[student]\nattention = \"all\"\n[objective]\nalpha = 0.5").find("alpha = 0"),
            std::string::npos);
}

TEST(Recipe, RefusesSignalsThatCannotCarryTheDivergence) {
  const std::string reverse = "[objective]\nalpha = 0.5\ndivergence = \"reverse_kl\"\n";
  EXPECT_NE(message(reverse + "[signals]\nkind = \"draws\"").find("forward_kl alone"),
            std::string::npos);
  EXPECT_EQ(message(reverse), "");  // a kind that can is chosen
  EXPECT_EQ(message(reverse + "[signals]\nkind = \"topk\""), "");
  EXPECT_NE(message("[objective]\nalpha = 0.5\ntemperature = 2.0").find("temperature"),
            std::string::npos);
}

TEST(Recipe, StopsWhereTermsOrLicencesForbidTheUseUntilItSaysByNameThatItMay) {
  const std::string forbidden = "[provenance]\nteacher_terms = \"training-forbidden\"\n";
  EXPECT_NE(message(forbidden).find("provenance.override = [\"teacher-terms\"]"),
            std::string::npos);
  EXPECT_EQ(message(forbidden + "override = [\"teacher-terms\"]"), "");
  const std::string data = "[provenance]\ndata_licence = \"CC-BY-NC-4.0\"\n";
  EXPECT_EQ(message(data), "");
  EXPECT_EQ(message(data + "use = \"research\""), "");
  EXPECT_NE(message(data + "use = \"commercial\"").find("CC-BY-NC-4.0"), std::string::npos);
  EXPECT_NE(message(data + "use = \"commercial\"\noverride = [\"teacher-terms\"]"), "");
  EXPECT_EQ(message(data + "use = \"commercial\"\noverride = [\"data-licence\"]"), "");
  const std::string teacher = "[provenance]\nteacher_licence = \"research-only\"\n";
  EXPECT_NE(message(teacher + "use = \"commercial\"").find("teacher-licence"), std::string::npos);
  EXPECT_NE(message("[provenance]\noverride = [\"everything\"]").find("override"),
            std::string::npos);
}

TEST(Recipe, RowsAreMadeUpForBuiltInSourcesAlone) {
  EXPECT_EQ(message("[data]\nunlabelled = 40\n[teacher]\nrows = 60"), "");
  const std::string files = "[data]\nsource = \"files\"\ntrain = \"a.jsonl\"\n";
  EXPECT_NE(message(files + "unlabelled = 40").find("data.prompts"), std::string::npos);
  EXPECT_NE(message(files + "[teacher]\nrows = 60").find("teacher.model"), std::string::npos);
  EXPECT_NE(message("[teacher]\nrows = 60\nmodel = \"m\"").find("teacher.rows = 0"),
            std::string::npos);
}

TEST(Recipe, AdaptersWantAModelToStandBeside) {
  EXPECT_NE(message("[student.lora]\nrank = 4").find("student.model"), std::string::npos);
}

TEST(Recipe, AnEndpointIsAskedForWhatItCanGive) {
  const std::string endpoint = "[teacher]\nendpoint = \"http://h/v1\"\nmodel = \"m\"\n";
  EXPECT_EQ(message(endpoint), "");
  EXPECT_NE(message(endpoint, {"signals.kind=draws"}).find("topk"), std::string::npos);
  EXPECT_NE(message(endpoint, {"objective.alpha=0.5", "signals.kind=text"}).find("alpha"),
            std::string::npos);
  EXPECT_EQ(message(endpoint, {"objective.alpha=0.5", "signals.kind=topk"}), "");
  EXPECT_NE(message(endpoint, {"student.init=teacher"}).find("weights"), std::string::npos);
  EXPECT_NE(message(endpoint, {"teacher.api=smoke"}).find("teacher.api"), std::string::npos);
}

TEST(Recipe, PolishingWantsDraftsAndWholeWeights) {
  const std::string polish = "[polish]\nsteps = 5\n";
  EXPECT_NE(message(polish).find("draft_weight"), std::string::npos);
  EXPECT_EQ(message(polish, {"objective.draft_weight=0.5"}), "");
  EXPECT_NE(message(polish, {"objective.draft_weight=0.5", "polish.gold_share=1.0"}).find("gold"),
            std::string::npos);
  EXPECT_NE(
      message(polish, {"objective.draft_weight=0.5", "student.lora.rank=2", "student.model=m"})
          .find("lora"),
      std::string::npos);
}

TEST(Recipe, OnPolicyStepsAreReadWrittenAndChecked) {
  const Recipe recipe =
      parse_recipe("[objective]\non_policy = 0.3\non_policy_divergence = \"jsd\"\n", "r",
                   {"objective.on_policy_texts=5"});
  EXPECT_EQ(recipe.on_policy.share, 0.3);
  EXPECT_EQ(recipe.on_policy.texts, 5);
  EXPECT_EQ(recipe.objective.on_policy_divergence, Divergence::kJsd);
  EXPECT_EQ(recipe_to_toml(parse_recipe(recipe_to_toml(recipe), "again", {})),
            recipe_to_toml(recipe));
  EXPECT_NE(message("", {"objective.on_policy=1.5"}).find("objective.on_policy = 1.5"),
            std::string::npos);
  for (const char* setting : {"on_policy_divergence=\"forward_kl\"", "on_policy_temperature=-1",
                              "on_policy_texts=0", "on_policy_uses=0.0"}) {
    const std::string key = std::string(setting).substr(0, std::string(setting).find('='));
    EXPECT_NE(message("", {fmt::format("objective.{}", setting)}).find(key), std::string::npos);
  }
  EXPECT_NE(message("", {"objective.on_policy=0.5", "objective.ar_weight=0",
                         "objective.draft_weight=1.0"})
                .find("ar_weight"),
            std::string::npos);
  EXPECT_NE(message("", {"objective.on_policy=0.5", "student.attention=all", "signals.kind=text"})
                .find("left to right"),
            std::string::npos);
  EXPECT_NE(message("[teacher]\nendpoint = \"http://x/v1\"\n",
                    {"objective.on_policy=0.5", "objective.temperature=2.0"})
                .find("objective.temperature"),
            std::string::npos);
}

TEST(Recipe, AdaptingAModelChangesTheDefaultsToWhatKeepsItsCausalHalf) {
  const Recipe recipe =
      parse_recipe("", "r.toml", {"student.init=adapt", "student.model=models/m"});
  EXPECT_EQ(recipe.objective.alpha, 1);
  EXPECT_EQ(recipe.data.prompt_template, "{prompt}");
  EXPECT_EQ(recipe_to_toml(parse_recipe(recipe_to_toml(recipe), "again", {})),
            recipe_to_toml(recipe));
  EXPECT_NE(message("", {"student.init=adapt"}).find("student.model"), std::string::npos);
  EXPECT_NE(message("", {"student.init=adapt", "student.model=m", "objective.draft_weight=0.0"})
                .find("draft_weight"),
            std::string::npos);
}

TEST(Recipe, HowFastAnEndpointIsAskedIsNoPartOfItsSubstance) {
  const std::string endpoint = "[teacher]\nendpoint = \"http://h/v1\"\n";
  const auto substance = [&](const char* setting) {
    return recipe_substance(parse_recipe(endpoint, "r.toml", {setting}));
  };
  EXPECT_EQ(substance("teacher.concurrency=2"), substance("teacher.max_cost=9.5"));
  EXPECT_NE(substance("teacher.concurrency=2"), substance("teacher.system=x"));
}

TEST(Recipe, WhatIsOnlyMeasuredIsNoPartOfItsSubstance) {
  const std::string files = "[data]\nsource = \"files\"\ntrain = \"a.jsonl\"\n";
  const auto substance = [&](const std::vector<std::string>& settings) {
    return recipe_substance(parse_recipe(files, "r.toml", settings));
  };
  EXPECT_EQ(substance({"eval.block=4", "eval.decode=[\"ar\"]"}), substance({"eval.samples=1"}));
  EXPECT_EQ(substance({"data.test=b.jsonl"}), substance({"data.test_limit=3"}));
  EXPECT_NE(substance({}), substance({"data.limit=9"}));
  EXPECT_NE(substance({}), substance({"student.train.lr=0.5"}));
}

TEST(Recipe, ModelsReadMoreThanTheLongestRowWhereTheirPositionsCostNothing) {
  const auto positions = [](int max_tokens, const char* kind) {
    return student_config(parse_recipe("", "r.toml",
                                       {fmt::format("data.max_tokens={}", max_tokens),
                                        fmt::format("student.positions={}", kind)}),
                          500)
        .max_positions;
  };
  EXPECT_EQ(positions(96, "rotary"), 2048);
  EXPECT_EQ(positions(1024, "rotary"), 2048);
  EXPECT_EQ(positions(1025, "rotary"), 4096);
  EXPECT_EQ(positions(96, "learned"), 96);
}

TEST(Recipe, ImpossibleShapesAreRefusedBeforeTraining) {
  EXPECT_THROW(model_config({.dim = 30, .heads = 7, .kv_heads = 2}, 500, 64, "student"), Error);
}

// E[counts / n] is the teacher's distribution: 20,000 sets of 12 draws against the softmax, 5
// sigma.
TEST(Signals, DrawsAreUnbiased) {
  const std::vector<float> logits{1.0F, 0.0F, -1.0F, 2.0F, -3.0F};
  for (const double temperature : {1.0, 2.0}) {
    double z = 0;
    for (const float l : logits) z += std::exp(l / temperature);
    std::vector<double> mean(logits.size());
    constexpr int kSets = 20000, kDraws = 12;
    Rng rng(1);
    for (int i = 0; i < kSets; ++i) {
      const TokenSignal s = draw_signal(logits, temperature, kDraws, rng);
      float sum = 0;
      for (size_t j = 0; j < s.ids.size(); ++j) {
        mean[static_cast<size_t>(s.ids[j])] += s.probabilities[j] / kSets;
        sum += s.probabilities[j];
      }
      ASSERT_NEAR(sum, 1, 1e-6);
    }
    for (size_t j = 0; j < logits.size(); ++j) {
      const double p = std::exp(logits[j] / temperature) / z;
      EXPECT_NEAR(mean[j], p, 5 * std::sqrt(p * (1 - p) / (kSets * kDraws)));
    }
  }
}

TEST(Signals, TopKKeepsTheLargestAndTheTail) {
  const std::vector<float> logits{1.0F, 0.0F, -1.0F, 2.0F, -3.0F};
  const TokenSignal s = top_k_signal(logits, 1.0, 2);
  EXPECT_EQ(s.ids, (std::vector<TokenId>{0, 3}));
  const double z = std::exp(1) + 1 + std::exp(-1) + std::exp(2) + std::exp(-3);
  EXPECT_NEAR(s.probabilities[1], std::exp(2) / z, 1e-6);
  EXPECT_NEAR(s.tail, (1 + std::exp(-1) + std::exp(-3)) / z, 1e-6);
}

}  // namespace
}  // namespace alambic
