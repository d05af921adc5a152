// What decoding and packed training rest on: which rows may touch which, bit for bit.
#include "alambic/models/transformer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "alambic/autograd/graph.h"
#include "alambic/autograd/ops_head.h"
#include "alambic/models/test_models.h"

namespace alambic {
namespace {

class TransformerRows : public testing::TestWithParam<std::tuple<size_t, Precision>> {
 protected:
  void SetUp() override {
    randomise(model_, 3);
    isa_ = kernels::kernels().isa;
    kernels::use_kernels(kernels::supported_kernels()[std::get<0>(GetParam())].isa);
  }
  void TearDown() override { kernels::use_kernels(isa_); }
  Precision precision() const { return std::get<1>(GetParam()); }
  Tensor hidden(const std::vector<TokenId>& tokens, std::vector<RowGroup> groups) const {
    return model_.hidden(tokens, {.groups = std::move(groups), .precision = precision()});
  }
  ModelConfig config_ = tiny_config();
  Transformer model_{config_};
  kernels::Isa isa_ = kernels::Isa::kScalar;
};

testing::AssertionResult same_rows(const Tensor& a, int64_t a_row, const Tensor& b, int64_t b_row,
                                   int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) {
    if (std::memcmp(a.row(a_row + r), b.row(b_row + r),
                    static_cast<size_t>(a.cols()) * sizeof(float)) != 0) {
      return testing::AssertionFailure() << "row " << r << " differs";
    }
  }
  return testing::AssertionSuccess();
}

std::vector<TokenId> joined(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST_P(TransformerRows, PackedDocumentsEqualEachAlone) {
  const auto a = random_tokens(37, config_.vocab_size, 1),
             b = random_tokens(50, config_.vocab_size, 2);
  const Tensor packed = hidden(joined(a, b), {{37, 0}, {50, 0}});
  EXPECT_TRUE(same_rows(packed, 0, hidden(a, {{37, 0}}), 0, 37));
  EXPECT_TRUE(same_rows(packed, 37, hidden(b, {{50, 0}}), 0, 50));
}

TEST_P(TransformerRows, PrefillAndTokenByTokenEqualTheWholeForward) {
  const auto tokens = random_tokens(90, config_.vocab_size, 4);
  const Tensor whole = hidden(tokens, {{90, 0}});
  KvCache cache = make_cache(config_, precision());
  int done = 0;
  for (const int rows : {33, 1, 1, 20, 1, 2, 31, 1}) {  // the cache grows on the way
    const std::vector<TokenId> piece(tokens.begin() + done, tokens.begin() + done + rows);
    const Tensor part = hidden(piece, {{.rows = rows, .position = done, .cache = &cache}});
    EXPECT_TRUE(same_rows(whole, done, part, 0, rows)) << "from row " << done;
    cache.commit(rows);
    done += rows;
  }
  EXPECT_EQ(done, 90);
}

// Rows that a verifier rejects are staged, never committed, and must leave no trace.
TEST_P(TransformerRows, RejectedRowsLeaveNoTraceInTheCache) {
  const auto tokens = random_tokens(40, config_.vocab_size, 5),
             wrong = random_tokens(9, config_.vocab_size, 6);
  const Tensor whole = hidden(tokens, {{40, 0}});
  KvCache cache = make_cache(config_, precision());
  const std::vector<TokenId> first(tokens.begin(), tokens.begin() + 20),
      rest(tokens.begin() + 20, tokens.end());
  hidden(first, {{.rows = 20, .position = 0, .cache = &cache}});
  cache.commit(20);
  hidden(wrong, {{.rows = 9, .position = 20, .cache = &cache}});
  cache.commit(0);
  EXPECT_TRUE(
      same_rows(whole, 20, hidden(rest, {{.rows = 20, .position = 20, .cache = &cache}}), 0, 20));
}

// Joint hybrid training and block decoding see the same thing: a masked group behind clean rows of
// its own forward has the bits it has behind the same rows in a cache.
TEST_P(TransformerRows, AMaskedGroupSeesCleanRowsAsItSeesACache) {
  const auto clean = random_tokens(24, config_.vocab_size, 7),
             masked = random_tokens(8, config_.vocab_size, 8);
  const Tensor joint =
      hidden(joined(clean, masked),
             {{24, 0}, {.rows = 8, .position = 16, .causal = false, .sees = {{0, 16}}}});
  KvCache cache = make_cache(config_, precision());
  hidden({clean.begin(), clean.begin() + 16}, {{.rows = 16, .position = 0, .cache = &cache}});
  cache.commit(16);
  const Tensor decoded =
      hidden(masked, {{.rows = 8, .position = 16, .causal = false, .cache = &cache}});
  EXPECT_TRUE(same_rows(joint, 24, decoded, 0, 8));
  EXPECT_TRUE(
      same_rows(joint, 0, hidden(clean, {{24, 0}}), 0, 24));  // and the clean half never sees masks
  EXPECT_EQ(cache.length(), 16);
}

// Where all but as many neurons as the student has say nothing, leaving those out loses nothing.
TEST(Inherit, ANarrowerMlpTakesTheNeuronsThatCount) {
  ModelConfig wide = tiny_config(), narrow = tiny_config();
  narrow.ffn = wide.ffn / 4;
  Transformer teacher(wide), student(narrow);
  randomise(teacher, 9);
  teacher.visit([&](Parameter& p) {
    if (!p.name.ends_with(".down")) return;
    for (int64_t r = 0; r < p.value.rows(); ++r) {
      for (int64_t n = 0; n < p.value.cols(); ++n) p.value.row(r)[n] *= n % 4 == 1 ? 1.0F : 0.0F;
    }
  });
  student.initialise(1);
  EXPECT_EQ(student.inherit(teacher), 1.0);
  const auto tokens = random_tokens(30, wide.vocab_size, 10);
  const Tensor expected = teacher.hidden(tokens, {.groups = {{30, 0}}});
  const Tensor actual = student.hidden(tokens, {.groups = {{30, 0}}});
  for (int64_t i = 0; i < expected.size(); ++i)
    ASSERT_NEAR(actual.data()[i], expected.data()[i], 1e-5);
}

std::map<std::string, std::vector<float>> gradients(Transformer& model,
                                                    const std::vector<TokenId>& tokens,
                                                    std::vector<RowGroup> groups, int first,
                                                    Precision precision) {
  set_trainable(model, true);
  HeadTargets targets;
  for (size_t i = 0; i < tokens.size(); ++i) {
    targets.labels.push_back(tokens[std::min(i + 1, tokens.size() - 1)]);
    targets.label_weights.push_back(static_cast<int>(i) >= first ? 1.0F : 0.0F);
  }
  const Forward forward{.groups = std::move(groups), .precision = precision};
  backward(head_loss(model.hidden(tokens, forward), model.head(), targets, precision).sum);
  std::map<std::string, std::vector<float>> all;
  model.visit([&](Parameter& p) {
    all[p.name] = {p.value.grad().values().begin(), p.value.grad().values().end()};
  });
  set_trainable(model, false);
  return all;
}

TEST_P(TransformerRows, ADocumentNeverMovesItsNeighboursResultsOrGradients) {
  const auto a = random_tokens(37, config_.vocab_size, 1),
             other = random_tokens(37, config_.vocab_size, 9);
  const auto b = random_tokens(50, config_.vocab_size, 2);
  const std::vector<RowGroup> groups = {{37, 0}, {50, 0}};
  EXPECT_TRUE(
      same_rows(hidden(joined(a, b), groups), 37, hidden(joined(other, b), groups), 37, 50));
  EXPECT_TRUE(gradients(model_, joined(a, b), groups, 37, precision()) ==
              gradients(model_, joined(other, b), groups, 37, precision()));
}

TEST_P(TransformerRows, DropoutIsAFunctionOfItsSeed) {
  const auto tokens = random_tokens(30, config_.vocab_size, 1);
  const auto run = [&](double p, uint64_t seed) {
    return model_.hidden(
        tokens,
        {.groups = {{30, 0}}, .precision = precision(), .dropout = p, .dropout_seed = seed});
  };
  EXPECT_TRUE(same_rows(run(0.2, 5), 0, run(0.2, 5), 0, 30));
  EXPECT_FALSE(same_rows(run(0.2, 5), 0, run(0.2, 6000), 0, 30));
  EXPECT_TRUE(same_rows(run(0, 5), 0, run(0, 6000), 0, 30));
}

INSTANTIATE_TEST_SUITE_P(Tables, TransformerRows,
                         testing::Combine(testing::Range(size_t{0},
                                                         kernels::supported_kernels().size()),
                                          testing::Values(Precision::kFp32, Precision::kBf16)),
                         [](const auto& test) {
                           return std::string(kernels::isa_name(
                                      kernels::supported_kernels()[std::get<0>(test.param)].isa)) +
                                  (std::get<1>(test.param) == Precision::kFp32 ? "_fp32" : "_bf16");
                         });

TEST(Transformer, AFreshModelPredictsNearlyUniformly) {
  for (const bool tied : {true, false}) {
    ModelConfig config = tiny_config();
    config.tied_head = tied;
    Transformer model(config);
    model.initialise(1);
    const auto tokens = random_tokens(64, config.vocab_size, 1);
    HeadTargets targets;
    targets.labels = random_tokens(64, config.vocab_size, 2);
    targets.label_weights.assign(64, 1.0F);
    const Tensor hidden = model.hidden(tokens, {.groups = {{64, 0}}});
    const double mean =
        double{head_loss(hidden, model.head(), targets, Precision::kFp32).sum.data()[0]} / 64;
    EXPECT_NEAR(mean, std::log(config.vocab_size), 0.6) << "tied " << tied;
  }
}

TEST(Transformer, ParametersAreCountedAsTheyAreVisited) {
  for (const bool tied : {true, false}) {
    ModelConfig config = tiny_config();
    config.tied_head = tied;
    Transformer model(config);
    int64_t count = 0;
    model.visit([&](Parameter& p) { count += p.value.size(); });
    EXPECT_EQ(count, config.parameters());
  }
}

TEST(Transformer, AFrozenModelRecordsNoGraph) {
  Transformer model(tiny_config());
  randomise(model, 1);
  set_trainable(model, true);
  EXPECT_TRUE(model.hidden(random_tokens(5, 61, 1), {.groups = {{5, 0}}}).requires_grad());
  freeze_for_inference(model, Precision::kFp32);
  EXPECT_FALSE(model.hidden(random_tokens(5, 61, 1), {.groups = {{5, 0}}}).requires_grad());
}

}  // namespace
}  // namespace alambic
