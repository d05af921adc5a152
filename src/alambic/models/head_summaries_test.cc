// A model's fused head against its logits.
#include <gtest/gtest.h>

#include "alambic/models/test_models.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

ModelConfig wide_config(bool tied, bool bias) {
  ModelConfig config = tiny_config();
  config.vocab_size = 2300;
  config.tied_head = tied;
  config.head_bias = bias;
  return config;
}

// LanguageModel's own summaries() reads rows of logits().
void expect_summaries_of_the_logits(const Transformer& model, Precision precision) {
  constexpr int kRows = 20;
  const std::vector<TokenId> tokens = random_tokens(kRows, model.config().vocab_size, 5);
  const Tensor hidden = model.hidden(tokens, {.groups = {{kRows, 0}}, .precision = precision});
  const CountedColumns columns{2290, 2047};
  std::vector<RowSummary> got(kRows), want(kRows);
  model.summaries(hidden, precision, columns, got);
  model.LanguageModel::summaries(hidden, precision, columns, want);
  for (size_t r = 0; r < kRows; ++r) {
    EXPECT_EQ(got[r].best, want[r].best);
    EXPECT_EQ(got[r].top, want[r].top);
    EXPECT_EQ(got[r].sum, want[r].sum);
  }
}

TEST(HeadSummaries, AreThoseOfTheLogitsForTiedUntiedAndBiasedHeads) {
  for (const auto& [tied, bias] : {std::pair{true, false}, {false, false}, {false, true}}) {
    for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
      Transformer model(wide_config(tied, bias));
      randomise(model, 3);
      const NoGrad no_grad;
      expect_summaries_of_the_logits(model, precision);  // panels made for the call
      freeze_for_inference(model, precision);
      expect_summaries_of_the_logits(model, precision);
    }
  }
}

TEST(HeadSummaries, AreThoseOfTheLogitsForQuantisedHeads) {
  for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4}) {
    Transformer model(wide_config(false, true));
    randomise(model, 3);
    freeze_for_inference(model, Precision::kBf16);
    model.visit([&](Parameter& p) {
      if (p.name == "head")
        p.value.set_packed(
            std::make_shared<PackedMatrix>(QuantizedMatrix::rounded(format, p.value)));
    });
    expect_summaries_of_the_logits(model, Precision::kBf16);
  }
}

}  // namespace
}  // namespace alambic
